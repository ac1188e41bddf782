import keras


def clone_initializer(initializer):
    """One that draws anew, where the same object would repeat its draws."""
    return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer
