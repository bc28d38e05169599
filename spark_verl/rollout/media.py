"""One group, one look at its images.

verl processes a sample's images three times (while tokenizing the prompt, while scoring, while storing the row), and
fetches and resizes them once more before that: about 4n times per group, although the group's n samples and all judge
prompts built from it share the very same images. :class:`MediaCache` makes that once. The cached objects are the ones
verl's own code produced, so the tensors are the same.

Entries are keyed by the identity of the image objects and live as long as a prompt that shows them: identity is exact
(no hashing of pixels), and a group's judge prompts reuse its image objects by construction.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Hashable
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from spark_verl.vocabulary import Message

MEDIA_KEYS = ("image", "image_url", "video", "audio")


class MediaCache:
    """Remembers what was computed from a group's media objects, until the group is released.

    Thread-safe: verl tokenizes in a thread pool, so the n samples of a group ask at the same time; the first one
    computes, the others wait for its result.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Hashable, tuple[Future, Any]] = {}
        self._keys_of_object: dict[int, set[Hashable]] = {}
        self._holders: Counter[int] = Counter()
        self.computed = 0
        self.reused = 0

    def get(self, key: Hashable, owners: list[Any], compute: Callable[[], Any]) -> Any:
        """Return ``compute()``, computed once per key.

        Args:
            key: Identity of the question, for example ``("images", id(a), id(b))``.
            owners: The objects whose ids stand in ``key``. They are kept alive with the entry, so an id cannot be
                reused by another object meanwhile.
            compute: Called at most once per key; its exception reaches everyone who waits and is not remembered.
        """
        future, mine = self._claim(key, owners)
        if not mine:
            return future.result()
        try:
            value = compute()
        except BaseException as error:  # whoever waits must not hang, whatever was raised
            self._fail(key, future, error)
            raise
        future.set_result(value)
        return value

    async def fetch(self, key: Hashable, owners: list[Any], compute: Callable[[], Awaitable[Any]]) -> Any:
        """:meth:`get` for a coroutine function: waits without blocking the event loop."""
        future, mine = self._claim(key, owners)
        if not mine:
            return await asyncio.wrap_future(future)
        try:
            value = await compute()
        except BaseException as error:  # whoever waits must not hang, whatever was raised (a cancellation, too)
            self._fail(key, future, error)
            raise
        future.set_result(value)
        return value

    def _claim(self, key: Hashable, owners: list[Any]) -> tuple[Future, bool]:
        """The entry's future, and whether the caller is the one who has to fulfil it."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self.reused += 1
                return entry[0], False
            future: Future = Future()
            self._entries[key] = (future, owners)
            for owner in owners:
                self._keys_of_object.setdefault(id(owner), set()).add(key)
            self.computed += 1
            return future, True

    def _fail(self, key: Hashable, future: Future, error: BaseException) -> None:
        with self._lock:
            self._entries.pop(key, None)
        future.set_exception(error)

    @contextmanager
    def holding(self, objects: list[Any]) -> Generator[None, None, None]:
        """Keep what is computed from these objects for as long as the context lasts, or another one that holds them."""
        with self._lock:
            self._holders.update(map(id, objects))
        try:
            yield
        finally:
            with self._lock:
                self._holders.subtract(map(id, objects))
                unheld = [each for each in objects if self._holders[id(each)] <= 0]
                for each in unheld:
                    del self._holders[id(each)]
            self.release(unheld)

    def release(self, objects: list[Any]) -> None:
        """Forget everything computed from these objects, and from what was computed from them."""
        with self._lock:
            pending = list(objects)
            while pending:
                for key in self._keys_of_object.pop(id(pending.pop()), ()):
                    entry = self._entries.pop(key, None)
                    if entry is not None and entry[0].done() and entry[0].exception() is None:
                        pending.extend(_media_in(entry[0].result()))

    def __len__(self) -> int:
        return len(self._entries)


def media_objects(messages: list[dict]) -> list[Any]:
    """The media objects in chat messages, in order: PIL images, paths, dictionaries, as the data set made them."""
    found = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            found.extend(part[key] for part in content for key in MEDIA_KEYS if key in part)
    return found


def without_media(messages: list[Message]) -> list[Message]:
    """Chat messages with every media part reduced to its type."""
    light = []
    for message in messages:
        content = message["content"]
        if isinstance(content, list):
            content = [part if part.get("type") == "text" else {"type": part.get("type")} for part in content]
        light.append({**message, "content": content})
    return light


def _media_in(value: Any) -> list[Any]:
    """Media objects inside a cached value: the fetched images and videos own the processed tensors in turn."""
    return [item for kind in value if isinstance(kind, list) for item in kind] if isinstance(value, tuple) else []


class SharedImageProcessor:
    """A Hugging Face image processor that is run once per list of image objects; all else is the plain one's.

    A copy of it, or what is unpickled in another process, is the plain processor.

    Args:
        plain: The image processor.
        cache: Where results live; keyed by image identity and keyword arguments.
    """

    def __init__(self, plain: Any, cache: MediaCache) -> None:
        self._plain = plain
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self._plain, memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._plain,)

    def __call__(self, images: Any = None, *args: Any, **kwargs: Any) -> Any:
        if args or not isinstance(images, list) or not images:
            return self._plain(images, *args, **kwargs)
        owners = [image for item in images for image in (item if isinstance(item, list) else [item])]
        options = tuple(sorted((name, repr(value)) for name, value in kwargs.items()))
        key = ("image_processor", tuple(map(id, owners)), options)
        features = self._cache.get(key, owners, lambda: self._plain(images, **kwargs))
        # A shallow copy: processors pop and add keys, the tensors themselves are never written to.
        return type(features)(dict(features))


def _itself(value: Any) -> Any:
    return value


def share_image_processing(processor: Any, cache: MediaCache) -> None:
    """Have a Hugging Face processor run its image processor once per list of image objects.

    Tokenization is untouched, so the token ids are the processor's own for every prompt.

    Args:
        processor: Its ``image_processor`` is replaced by a :class:`SharedImageProcessor`; None and processors without
            one are left alone.
        cache: Where results live.
    """
    plain = getattr(processor, "image_processor", None)
    if plain is not None and not isinstance(plain, SharedImageProcessor):
        processor.image_processor = SharedImageProcessor(plain, cache)


def share_media_fetching(dataset_cls: type, cache: MediaCache) -> type:
    """A subclass of verl's dataset class that fetches and resizes a group's media once.

    Args:
        dataset_cls: The class whose ``process_multi_modal_info`` (or older ``process_vision_info``) agent loops call.
        cache: Where results live.
    """

    def shared(name: str, plain: Callable[..., Awaitable[Any]]) -> staticmethod:
        async def wrapper(messages: list[dict], image_patch_size: int = 14, config: Any = None) -> Any:
            owners = media_objects(messages)
            key = (name, tuple(map(id, owners)), image_patch_size)

            async def compute() -> Any:
                return await plain(messages, image_patch_size=image_patch_size, config=config)

            if not owners:
                return await compute()
            # Each sample's own lists: a loop with tools appends the images that its tools return.
            found = await cache.fetch(key, owners, compute)
            if not isinstance(found, tuple):
                return found
            return tuple(list(kind) if isinstance(kind, list) else kind for kind in found)

        return staticmethod(wrapper)

    methods = {
        name: shared(name, getattr(dataset_cls, name))
        for name in ("process_multi_modal_info", "process_vision_info")
        if hasattr(dataset_cls, name)
    }
    return type(dataset_cls.__name__, (dataset_cls,), methods)
