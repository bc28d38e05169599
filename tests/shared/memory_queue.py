"""TransferQueue as worker, sampler and metrics use it, in one process: keys with tags and fields, by partition."""

from __future__ import annotations

from typing import Any


class MemoryQueue:
    """Stands in for the module ``transfer_queue``; ``log`` holds every write in order."""

    def __init__(self) -> None:
        self.tags: dict[str, dict[str, dict[str, Any]]] = {"train": {}, "val": {}}
        self.fields: dict[str, dict[str, Any]] = {}
        self.log: list[tuple[list[str], list[dict[str, Any]]]] = []

    def kv_batch_put(self, keys, partition_id, fields=None, tags=None, **_) -> None:
        for i, key in enumerate(keys):
            if tags is not None:
                self.tags[partition_id].setdefault(key, {}).update(tags[i])
            if fields is not None:
                row = {name: fields[name][i] for name in fields.keys()}
                self.fields.setdefault(key, {}).update(row)
        self.log.append((list(keys), [dict(tag) for tag in tags or []]))

    async def async_kv_batch_put(self, keys, partition_id, fields=None, tags=None, **options) -> None:
        self.kv_batch_put(keys, partition_id, fields, tags)

    async def async_kv_put(self, key, partition_id, fields=None, tag=None, **_) -> None:
        self.kv_batch_put([key], partition_id, None, [tag or {}])

    def kv_list(self, partition_id=None) -> dict[str, dict[str, dict[str, Any]]]:
        partitions = [partition_id] if partition_id else list(self.tags)
        return {name: {key: dict(tag) for key, tag in self.tags[name].items()} for name in partitions}

    def kv_batch_get(self, keys, partition_id, select_fields) -> dict[str, list]:
        return {name: [self.fields[key][name] for key in keys] for name in select_fields}

    def kv_clear(self, keys, partition_id) -> None:
        for key in keys:
            self.tags[partition_id].pop(key, None)
            self.fields.pop(key, None)
