"""Writes the inputs of this case, with pyarrow, into the folder in which it runs."""

import pyarrow as pa, pyarrow.parquet as pq

pq.write_table(pa.table({"id": ["1", "2", "3", "4"], "a": ["x", "y", "x", "y"]}), "good.parquet", row_group_size=2, compression="zstd", use_dictionary=False)
whole = open("good.parquet", "rb").read()
open("cut.parquet", "wb").write(whole[: len(whole) // 2])
frames = [at for at in range(len(whole)) if whole[at : at + 4] == b"\x28\xb5\x2f\xfd"]
open("page.parquet", "wb").write(whole[: frames[3]] + b"oops" + whole[frames[3] + 4 :])
