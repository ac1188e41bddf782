import keras


@keras.saving.register_keras_serializable(package="convzoo")
class Network(keras.Model):
    """A functional Keras model with layers of convzoo.

    Keras names in its error the first class of a file that it does not know. For a model of its own class it shows the
    whole model before that layer; for this one it says at once which package to import.
    """
