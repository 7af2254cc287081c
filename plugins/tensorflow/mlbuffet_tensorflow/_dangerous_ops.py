"""The operations of TensorFlow that do more than compute, by what they reach."""

from collections.abc import Callable
from typing import Any

CODE = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless", "RemoteFusedGraphExecute"})
"""They call Python functions of the process, or programs elsewhere."""

NETWORK = frozenset(
    {
        "DataServiceDataset",
        "DataServiceDatasetV2",
        "DataServiceDatasetV3",
        "DataServiceDatasetV4",
        "GcsConfigureBlockCache",
        "GcsConfigureCredentials",
        "RegisterDataset",
        "RegisterDatasetV2",
        "RemoteCall",
        "RpcCall",
        "RpcClient",
        "RpcServer",
        "RpcServerStart",
    }
)

FILES = frozenset(
    {
        "FileSystemSetConfiguration",
        "FixedLengthRecordReader",
        "FixedLengthRecordReaderV2",
        "LMDBReader",
        "TFRecordReader",
        "TFRecordReaderV2",
        "TextLineReader",
        "TextLineReaderV2",
        "WholeFileReader",
        "WholeFileReaderV2",
    }
)
"""They take the names of files from elsewhere than from one of their inputs."""

NAMED_FILES = {
    "CSVDataset": (0,),
    "CSVDatasetV2": (0,),
    "CacheDataset": (1,),
    "CacheDatasetV2": (1,),
    "CreateSummaryDbWriter": (1,),
    "CreateSummaryFileWriter": (1,),
    "ExperimentalCSVDataset": (0,),
    "ExperimentalLMDBDataset": (0,),
    "ExperimentalMatchingFilesDataset": (0,),
    "ExperimentalSqlDataset": (1,),
    "FixedLengthRecordDataset": (0,),
    "FixedLengthRecordDatasetV2": (0,),
    "GenerateVocabRemapping": (0, 1),
    "InitializeTableFromTextFile": (1,),
    "InitializeTableFromTextFileV2": (1,),
    "LMDBDataset": (0,),
    "ListSnapshotChunksDataset": (0,),
    "LoadAndRemapMatrix": (0,),
    "LoadDataset": (0,),
    "MatchingFiles": (0,),
    "MatchingFilesDataset": (0,),
    "MergeV2Checkpoints": (0, 1),
    "ReadFile": (0,),
    "Restore": (0,),
    "RestoreSlice": (0,),
    "RestoreV2": (0,),
    "Save": (0,),
    "SaveDataset": (1,),
    "SaveDatasetV2": (1,),
    "SaveSlices": (0,),
    "SaveV2": (0,),
    "SnapshotChunkDataset": (0,),
    "SnapshotDataset": (1,),
    "SnapshotDatasetReader": (0,),
    "SnapshotDatasetV2": (1,),
    "SqlDataset": (1,),
    "TFRecordDataset": (0,),
    "TFRecordDatasetV2": (0,),
    "TextLineDataset": (0,),
    "WriteFile": (0,),
}
"""Which of their inputs are names of files."""
IN_MEMORY_WITHOUT_NAME = frozenset({"CacheDataset", "CacheDatasetV2"})


def _is_elsewhere(value: Any) -> bool:
    """Whether a description of messages is in a file."""
    return bool(value.s) and not value.s.startswith((b"local://", b"bytes://"))


ATTRIBUTES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "DebugIdentity": ("debug_urls", lambda value: bool(value.list.s)),
    "DebugIdentityV2": ("debug_urls", lambda value: bool(value.list.s)),
    "DebugIdentityV3": ("debug_urls", lambda value: bool(value.list.s)),
    "DebugNanCount": ("debug_urls", lambda value: bool(value.list.s)),
    "DebugNumericSummary": ("debug_urls", lambda value: bool(value.list.s)),
    "DecodeProtoV2": ("descriptor_source", _is_elsewhere),
    "EncodeProto": ("descriptor_source", _is_elsewhere),
    "ImmutableConst": ("memory_region_name", lambda value: bool(value.s)),
    "PrintV2": ("output_stream", lambda value: value.s.startswith(b"file://")),
}
"""The attribute that names files or addresses, and whether it does."""
