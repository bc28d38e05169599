"""What ``import verl`` loads, in every process of a run (entry point group ``verl.plugins``).

verl swallows whatever a plugin raises (it is logged at DEBUG only), so nothing is decided here that a run could miss:
:func:`spark_verl.compat.assert_ready` tells ``spark_verl.main`` whether this module was loaded, and why not.

Keep it light: a process that needs neither trainer nor vLLM (a TransferQueue storage unit, say) imports it too. The
trainer is registered by ``spark_verl.main`` and the reward manager is found by its import path, so only the platform,
which verl resolves early and in every process, has to be here.
"""

from spark_verl.compat import bootstrap, ray_handles, weight_sockets

bootstrap.keep_warnings()
ray_handles.stand_in_for_servers()
weight_sockets.watch()
if bootstrap.is_active():
    bootstrap.install()
