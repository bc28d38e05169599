"""From a run folder to a page: ``python -m spark_verl.report RUN_DIR [--compare OTHER_RUN]``.

    run folder ──► runs/ ──► frame.py ──► learning, judging, rewards, cost ──► gallery, settings ──► page.py
                (one reader   (a Run:      counters (figures, then charts      (samples, config)    (report.html,
                 per file)     frames)      in the style of style.py)                                report/*.png)

Each part takes the runs, one or two, and gives a section; ``page.py`` lists the parts in order. Everything a model
wrote is shown as text, never as markup; the page holds no script and loads nothing.
"""
