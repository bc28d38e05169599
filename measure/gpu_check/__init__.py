"""What the owner of a GPU runs first: does the installation work, how fast is a step, and do sampler and actor agree?

Nothing is downloaded: model and data are made here.

==================  ====================================================================================
module              role
==================  ====================================================================================
``__main__``        the command line and the order of the stages (``bash run_scripts/gpu_check.sh``)
``stages``          runs each stage as a process with a log, within the time that is left
``gpu``             what nvidia-smi says: the card, and its memory in use
``installation``    versions, plugin, and the attention kernels against a reference, forward and backward
``sizes``           how large model, pictures and batches are: ``full``, and ``tiny`` for the tests
``model``           a Qwen2.5-VL with random weights and all token ids of the published one
``data``            questions with a picture each, and rows in the words of judge prompts about them
``arms``            the training runs that are compared, as commands
``results``         from what they wrote to a table, and to pass or fail with reasons
==================  ====================================================================================
"""
