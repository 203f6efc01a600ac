"""Writes the inputs of this case, with pyarrow, into the folder in which it runs."""
import pyarrow as pa, pyarrow.parquet as pq, datetime as dt, decimal, uuid
D=decimal.Decimal; U=dt.timezone.utc
def w(name, table, **k): pq.write_table(pa.table(table) if isinstance(table, dict) else table, name, **k)

t=dt.datetime(2020,2,29,12,0,0,123456)
n=lambda u,z=None: pa.array([t],pa.timestamp("us",z)).cast(pa.timestamp(u,z),safe=False)
w("naive_us.parquet",{"id":["1"],"ts":n("us")})
w("naive_ns.parquet",{"id":["1"],"ts":n("ns")})
w("utc_ms.parquet",{"id":["1"],"ts":n("ms","UTC")})
w("utc_ns.parquet",{"id":["1"],"ts":n("ns","UTC")})
w("berlin.parquet",{"id":["1"],"ts":n("us","Europe/Berlin")})
w("offset.parquet",{"id":["1"],"ts":n("us","+05:30")})
w("dates.parquet",{"id":["1","2"],"d":pa.array([dt.date(1969,12,31),dt.date(9999,12,31)],pa.date32())})
w("date64.parquet",{"id":["1"],"d":pa.array([dt.date(1969,12,31)],pa.date64())})
w("others.parquet",{"id":["1"],"j":pa.StructArray.from_arrays([pa.array([dt.time(23,59,59,5)],pa.time64("us")),n("us"),pa.array([dt.date(1,1,1)],pa.date32())],["time","stamp","day"])})
w("duration.parquet",{"id":["1"],"j":pa.array([dt.timedelta(days=1,seconds=1)],pa.duration("us"))})
w("old.parquet",{"id":["1","2"],"ts":pa.array([dt.datetime(1,1,1,tzinfo=U),dt.datetime(9999,12,31,23,59,59,tzinfo=U)],pa.timestamp("us","UTC"))})
w("int96.parquet",{"id":["1","2","3"],"ts":pa.array([dt.datetime(1,1,1),t,dt.datetime(9999,12,31,23,59,59)],pa.timestamp("us"))},use_deprecated_int96_timestamps=True)
ten,more=D("12345678901234567890123456789012345678"),D("12345678901234567890123456789012345679")
w("decimals.parquet",{"id":pa.array([ten,more],pa.decimal128(38,0)),"j":pa.array([D("0.10"),D("-1.25")],pa.decimal128(10,2))})
w("floats.parquet",{"id":pa.array([1.0,2.0],pa.float64()),"x":pa.array([float("nan"),0.1],pa.float64())})
w("int-keys.parquet",{"id":["1"],"m":pa.array([[(1,"x")]],pa.map_(pa.int64(),pa.string()))})
w("infinite.parquet",{"id":["1","2"],"x":pa.array([1.5,float("inf")],pa.float64())})
