"""Labelled images: named data sets with fixed splits, an epoch order and batched augmentation.

Nothing is imported here, so that commands which only need ``zoo.data.names`` start without torch:

- ``zoo.data.names``    the names of data sets, and the folder they lie in (no torch)
- ``zoo.data.load``     ``load_data(name, split)``
- ``zoo.data.pixels``   ``Pixels``, what it returns
- ``zoo.data.order``    ``epoch_order``, the order of samples in an epoch
- ``zoo.data.augment``  ``Augment``, random crops and flips on the device
- ``zoo.data.sources``  one file a data set
"""
