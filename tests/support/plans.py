"""Plans of the zoo's networks, made once for all tests of a process."""

from functools import cache

from convzoo import models

plan = cache(models.plan)
