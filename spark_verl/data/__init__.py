"""From public data sets to verl's parquet rows: what the programs in ``data_preprocess/`` share.

``sources.py`` finds files (on disk or on the Hugging Face hub), checks their columns and reads them row by row;
``prompts.py`` brings a question into one form; ``stores.py`` reads single images from folders and archives and
``images.py`` makes them fit; ``truth.py`` says whether a ground truth can teach; ``sample.py`` builds and checks a row;
``writer.py`` streams rows into parquet; ``tally.py`` counts what was dropped and why; ``convert.py`` is the loop around
all of it and the command line.

``check.py`` looks at finished files before a run: ``samples.py`` takes some rows of each, ``rows.py`` says what is
wrong in one, and ``verl_class.py`` has verl's own dataset class read it.

A program adds one function: from a record of its data set to a :class:`spark_verl.data.sample.Sample`.
"""
