"""`python -m convzoo.models` lists the networks: year, image, parameters, MACs, published error, title."""

from convzoo.models import names, plan
from convzoo.models.zoo import paper

LINE = "{:<22}{:>6}{:>12}{:>14}{:>15}  {:<32}{}"


def main():
    print(LINE.format("network", "year", "image", "parameters", "MACs", "published error, %", "paper"))
    for name in names():
        about, counts = paper(name), plan(name)
        image = "×".join(map(str, counts.image_shape))
        errors = ", ".join(f"{error} {where}" for where, error in list((about.get("error") or {}).items())[:2])
        title = about["title"]
        print(
            LINE.format(name, about["year"], image, f"{counts.params:,}", f"{counts.macs:,}", errors, title), flush=True
        )


if __name__ == "__main__":
    main()
