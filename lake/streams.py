"""Arrow IPC streams in memory: rows of the inbox, and what is known of entities."""

import pyarrow as pa

# Most are small: threads would cost more in synchronisation than they save.
_ALONE = pa.ipc.IpcReadOptions(use_threads=False)


def read_stream(payload: bytes) -> pa.Table:
    """Return the rows of an Arrow IPC stream."""
    return pa.ipc.open_stream(payload, options=_ALONE).read_all()


def write_stream(batch: pa.RecordBatch, options: pa.ipc.IpcWriteOptions | None = None) -> bytes:
    """Return some rows as an Arrow IPC stream.

    Examples
    --------
    >>> one = pa.record_batch({"x": [1, 2]})
    >>> read_stream(write_stream(one))["x"].to_pylist()
    [1, 2]
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())
