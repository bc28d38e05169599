"""A page on this machine where one watches a model answer, judge its answer and reflect.

``__main__.py`` is the command, ``app.py`` the page's server, ``page/`` the page. What happens to a question is that of
:mod:`spark_verl.evaluation.walk`, in the words of training.
"""
