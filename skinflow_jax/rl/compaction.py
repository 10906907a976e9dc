"""Which rows of a batch go on: compaction as rows end, each prompt on the shard that it is on."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from skinflow_jax.parallel import batch_shards


def bucket_sizes(prompts: int, group: int, shards: int, compactions: int) -> list[tuple[int, int]]:
    """(prompts, rows per group) after each compaction: groups are halved first, then prompts.

    Prompts stay on their shard, so each of the `shards` holds equally many.
    """
    sizes = [(prompts, group)]
    while len(sizes) <= compactions:
        prompts, group = sizes[-1]
        if group > 2:
            sizes.append((prompts, group // 2))
        elif prompts // shards > 1:
            sizes.append((shards * (prompts // shards // 2), group))
        else:
            break
    return sizes


def fits(live: Bool[Array, "P G"], size: tuple[int, int] | None) -> Bool[Array, ""]:
    """Whether the live rows fit into `size`; False for None, where there is no smaller one."""
    if size is None:
        return jnp.bool_(False)
    shards = batch_shards()
    prompts = live.any(axis=1).reshape(shards, -1).sum(axis=1)
    return (live.sum(axis=1).max() <= size[1]) & (prompts.max() <= size[0] // shards)


@dataclass(frozen=True)
class Rows:
    """Some rows of some prompts of each shard, taken out of arrays and put back into them.

    `prompts` [S shards, p] are counted within a shard, `rows` [S, p, g] within a group. None: all
    prompts.
    """

    prompts: Int[Array, "S p"] | None
    rows: Int[Array, "S p g"]

    def take_prompts(self, x: Array) -> Array:
        """Of an array `[P, …]`."""
        if self.prompts is None:
            return x
        return _joined(jax.vmap(lambda x, prompts: x[prompts])(self._by_shard(x), self.prompts))

    def take_rows(self, x: Array, axis: int = 1) -> Array:
        """Of an array `[P, …]` whose `axis` is that of the group."""
        x = self._by_shard(jnp.moveaxis(x, axis, 1))
        x = jax.vmap(lambda x, index: x[index])(x, self._index())
        return jnp.moveaxis(_joined(x), 1, axis)

    def put_rows(self, x: Array, new: Array, axis: int = 1) -> Array:
        """`x` with `new` in place of what `take_rows` gives."""
        x, new = (self._by_shard(jnp.moveaxis(part, axis, 1)) for part in (x, new))
        x = jax.vmap(lambda x, index, new: x.at[index].set(new))(x, self._index(), new)
        return jnp.moveaxis(_joined(x), 1, axis)

    def _index(self) -> tuple[Array, Array]:
        prompts = self.prompts
        if prompts is None:
            prompts = jnp.broadcast_to(jnp.arange(self.rows.shape[1]), self.rows.shape[:2])
        return prompts[:, :, None], self.rows

    def _by_shard(self, x: Array) -> Array:
        return x.reshape(self.rows.shape[0], -1, *x.shape[1:])


def _joined(x: Array) -> Array:
    return x.reshape(-1, *x.shape[2:])


def choose_rows(live: Bool[Array, "P G"], size: tuple[int, int]) -> Rows:
    """All live rows, and ended ones as filling, of `size` = (prompts, rows per group).

    For example 4 prompts of 4 rows on 2 shards, cut to (2, 2); live rows are 1:

        shard 0:  prompt 0  0 0 0 0    prompt 1  0 1 0 1
        shard 1:  prompt 2  1 0 0 0    prompt 3  0 0 0 0

    `prompts` = [[1], [0]]: prompts 1 and 2. `rows` = [[[1, 3]], [[0, 1]]]: the live rows of prompt
    1; of prompt 2 the live row 0 and, as filling, row 1.
    """
    shards, prompts = batch_shards(), None
    fewer = size[0] < live.shape[0]
    live = live.reshape(shards, -1, live.shape[1])
    if fewer:
        prompts = _true_first(live.any(axis=2), size[0] // shards)
        live = jnp.take_along_axis(live, prompts[:, :, None], axis=1)
    return Rows(prompts, _true_first(live, size[1]))


def _true_first(flags: Bool[Array, "... n"], count: int) -> Int[Array, "... count"]:
    """Indices of `count` entries along the last axis: the True ones in order, then the others."""
    return jnp.argsort(~flags, axis=-1, stable=True)[..., :count]
