"""Damages good files at random, and holds what `sluicebox source` makes of them against readers of other people's making.

  damaged.py make FOLDER      writes good.* and 200 damaged variants of them, the same ones each time
  damaged.py compare FOLDER   reads each variant beside `VARIANT.ours.json` and `VARIANT.error`, prints what differs, and counts

Does not run the program: `damaged.rs` does.
"""

import csv
import datetime as dt
import decimal
import io
import json
import os
import pathlib
import random
import re
import sys

EACH = 50
KEY = "id"


def rows():
    dice = random.Random(7)
    words = ["plain", "two words", 'say "hi"', "comma, inside", "line\nbreak", "Köln", "日本", "", " blanks ", "5' x 3'", "tab\there"]
    for number in range(60):
        yield {
            "id": number,
            "name": dice.choice(words),
            "price": decimal.Decimal(dice.randrange(10**9)).scaleb(-2),
            "when": dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(minutes=dice.randrange(10**6)),
            "note": dice.choice(words),
            "good": dice.random() < 0.5,
        }


def good(kind):
    all = list(rows())
    if kind == "csv":
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(all[0])
        writer.writerows(row.values() for row in all)
        return out.getvalue().encode()
    plain = [json.dumps(row | {"price": 0, "when": row["when"].isoformat(), "more": {"list": [1, None, "x"]}}, ensure_ascii=False).replace(
        '"price": 0', f'"price": {row["price"]}') for row in all]
    if kind == "jsonl":
        return ("\n".join(plain) + "\n").encode()
    if kind == "json":
        return ("[\n" + ",\n".join(plain) + "\n]\n").encode()
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(all), out, row_group_size=25, compression="zstd", use_dictionary=["note"])
    return out.getvalue()


def damage(kind, data, dice):
    """One to three injuries."""
    data = bytearray(data)
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        at, end = dice.randrange(len(data)), 0
        end = min(len(data), at + dice.randrange(1, 40))
        what = dice.randrange(12)
        if what == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif what == 1 and dice.random() < 0.3:
            del data[at:]
        elif what == 2:
            del data[at:end]
        elif what == 3:
            data[at:at] = data[at:end]
        elif what == 4 and kind == "parquet":
            data[at:end] = bytes(end - at)
        elif what == 4 and dice.random() < 0.3:
            data[:0] = b"\xef\xbb\xbf"
        elif what == 5 and kind != "parquet" and dice.random() < 0.3:
            codec = dice.choice(["latin-1", "utf-16", "utf-16-be", "cp1252"])
            data = bytearray(bytes(data).decode("utf-8", "replace").encode(codec, "replace"))
        elif what == 6 and kind != "parquet":
            lines = bytes(data).split(b"\n")
            one, other = dice.randrange(len(lines)), dice.randrange(len(lines))
            lines[one], lines[other] = lines[other], lines[one]
            data = bytearray(b"\n".join(lines))
        else:
            data[at:at] = dice.choice([b'"', b"\n", b"\r", b",", b";", b"\t", b"\0", b"\\", b"{", b"]", b"\xff", b'""', b'",', b"  "])
        if not data:
            break
    return bytes(data)


def make(folder):
    for kind in ["csv", "jsonl", "json", "parquet"]:
        whole = good(kind)
        (folder / f"good.{kind}").write_bytes(whole)
        dice = random.Random(f"11 {kind}")
        for number in range(EACH):
            (folder / f"{number:03}.{kind}").write_bytes(damage(kind, whole, dice))


class Number(str):
    """A number by its digits."""


def no_constant(word):
    raise ValueError(f"{word} is no JSON")


def loads(text):
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=no_constant)


def lines_of_csv(data):
    """The rows of Python's strict reader: (first line, fields), or the error that it ends with."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader, before = csv.reader(text, strict=True), 0
    csv.field_size_limit(10**9)
    for fields in reader:
        yield before + 1, fields
        before = reader.line_num


def compare_csv(data, ours):
    found = list(lines_of_csv(data))
    found = [(line, fields) for line, fields in found if fields and not (len(fields) == 1 and not fields[0].strip(" \t"))]
    header = found[0][1]
    expected, bad = [], []
    for line, fields in found[1:]:
        joined = "".join(fields)
        broken = len(fields) != len(header) or "\0" in joined or any("\udc80" <= c <= "\udcff" for c in joined)
        if broken:
            bad.append(line)
        else:
            expected.append((line, {name: value or None for name, value in zip(header, fields)}))
    same([(row["number"], row["record"]) for row in ours["records"]], expected)
    same([row["number"] for row in ours["refused"]], bad)


def compare_jsonl(data, ours):
    data = data.removeprefix(b"\xef\xbb\xbf")
    refused = {row["number"] for row in ours["refused"]}
    expected = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip() and number not in refused:
            record = loads(line.decode("utf-8"))
            assert isinstance(record, dict), f"line {number} is no object"
            expected.append((number, record))
    same([(row["number"], row["record"]) for row in ours["records"]], expected)


def compare_json(data, ours):
    try:
        whole = loads(data.decode("utf-8-sig"))
        assert isinstance(whole, list), "the document is no list"
    except ValueError:
        assert ours["refused"], "no reader takes it, and nothing is refused"
        return by_lines(data, ours)
    records = [row["record"] for row in ours["records"]]
    if not ours["refused"]:
        return same(records, whole)
    left = iter(whole)
    assert all(any(record == other for other in left) for record in records), "records differ"
    same(len(records) + len(ours["refused"]), len(whole))


def by_lines(data, ours):
    """No reader takes the whole list: each record against the element that begins on its line, and no good line is left out."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    decoder = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=no_constant)
    for row in ours["records"]:
        text = b"\n".join(lines[row["number"] - 1 :]).decode("utf-8", "replace")
        same(row["record"], decoder.raw_decode(text, text.index("{"))[0])
    taken = {row["number"] for row in ours["records"]}
    texts = "\n".join(row["text"] for row in ours["refused"])
    for number, line in enumerate(lines, 1):
        try:
            element = loads(line.strip().removesuffix(b",").decode("utf-8"))
        except ValueError:
            continue
        if isinstance(element, dict) and number not in taken:
            assert line.strip().removesuffix(b",").decode() in texts, f"line {number} is neither taken nor refused"


def of_parquet(value):
    """As Parquet's values stand in JSON."""
    if isinstance(value, dt.datetime):
        micros = value.strftime("%Y-%m-%dT%H:%M:%S") if value.year > 999 else value.isoformat()[:19]
        part = value.microsecond
        part = "" if part == 0 else f".{part // 1000:03}" if part % 1000 == 0 else f".{part:06}"
        return f"{micros}{part}Z"
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, decimal.Decimal):
        return Number(format(value, "f"))
    if isinstance(value, bytes):
        return value.hex()
    return Number(value)


def with_pyarrow(path):
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def with_polars(path):
    import polars as pl

    return pl.read_parquet(path).to_dicts()


def compare_parquet(path, ours):
    wrong = []
    for reader in [with_pyarrow, with_polars]:
        try:
            read = [{name: of_parquet(value) for name, value in row.items()} for row in reader(path)]
            refused = {row["number"] for row in ours["refused"]}
            expected = [(number, row) for number, row in enumerate(read, 1) if number not in refused]
            return same([(row["number"], row["record"]) for row in ours["records"]], expected)
        except BaseException as error:  # polars panics with one that is no Exception
            wrong.append(f"{reader.__name__}: {error}")
    raise AssertionError("; ".join(wrong))


def same(ours, theirs):
    if ours == theirs:
        return
    if isinstance(ours, list) and isinstance(theirs, list):
        for one, other in zip(ours, theirs):
            if one != other:
                raise AssertionError(f"ours {one}\n    theirs {other}")
    raise AssertionError(f"ours {str(ours)[:300]}\n    theirs {str(theirs)[:300]}")


# Where something is, or what the file is as a whole.
PLACE = re.compile(r"line \d+|row \d+|row group \d+|column `|has no column|index|cut off|begins with|it is |encoded in|bytes")


def compare_one(path):
    """What became of a variant: `same`, `some lines refused`, `refused`; fails where it differs."""
    kind = path.suffix[1:]
    error = path.with_suffix(path.suffix + ".error")
    if error.exists():
        text = error.read_text()
        assert "panicked" not in text and PLACE.search(text), f"refused without a place: {text}"
        return "refused"
    ours = loads(path.with_suffix(path.suffix + ".ours.json").read_text())["pipelines"][0]
    for row in ours["records"] + ours["refused"]:
        row["number"] = int(row["number"])
    if kind == "parquet":
        compare_parquet(path, ours)
    else:
        {"csv": compare_csv, "jsonl": compare_jsonl, "json": compare_json}[kind](path.read_bytes(), ours)
    return "some lines refused" if ours["refused"] else "same"


def apart(path):
    """In a process of its own: a reader that a damaged file takes down is no reader of it."""
    into, out = os.pipe(), None
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            out = ["ok", compare_one(path)]
        except BaseException as error:
            out = ["differs", f"{type(error).__name__}: {error}"]
        os.write(into[1], json.dumps(out, default=str).encode()[:60_000])
        os._exit(0)
    os.close(into[1])
    with os.fdopen(into[0], "rb") as told:
        text = told.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else ["differs", "the other reader died of it"]


def compare(folder):
    import polars  # noqa: F401  once, before the processes part
    import pyarrow.parquet  # noqa: F401

    counts, wrong = {}, []
    for path in sorted(folder.glob("*.*")):
        if path.suffix not in [".csv", ".jsonl", ".json", ".parquet"] or ".ours" in path.name:
            continue
        verdict, what = apart(path)
        if path.stem == "good" and what != "same":
            verdict = "differs"
        if verdict != "ok":
            wrong.append(f"{path.name}: {what}")
        counts.setdefault(path.suffix[1:], {}).setdefault(what if verdict == "ok" else verdict, []).append(path.stem)
    print(json.dumps({"counts": {kind: {what: len(names) for what, names in by.items()} for kind, by in counts.items()}, "wrong": wrong}))


if __name__ == "__main__":
    {"make": make, "compare": compare}[sys.argv[1]](pathlib.Path(sys.argv[2]))
