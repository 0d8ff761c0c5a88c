#!/usr/bin/env python3
"""Reads a folder of Parquet files as others do, and prints what each of them sees, as JSON.

    read.py FOLDER READER..

Readers, each with its defaults:
    parquet   the footers, by pyarrow: {"files": [{"path", "rows", "leaves": {PATH: [PHYSICAL, LOGICAL]}}]}
    pyarrow   pyarrow.parquet.read_table(FOLDER)
    dataset   pyarrow.dataset.dataset(FOLDER, partitioning="hive")
    pandas    pandas.read_parquet(FOLDER)
    duckdb    read_parquet('FOLDER/**/*.parquet')
    spark     spark.read.parquet(FOLDER), in a session whose zone is UTC
All but the first: {"schema": {COLUMN: TYPE}, "rows": [{COLUMN: VALUE}]}, rows in the order of their text.
A reader that fails is {"error": TEXT}. Values: times as ISO 8601 has them, bytes in hex, decimals as text, maps as
lists of pairs.
"""

import datetime
import decimal
import json
import os
import re
import sys


def plain(value):
    import numpy
    import pandas

    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, numpy.ndarray)):
        return [plain(inner) for inner in value]
    if value is None or value is pandas.NaT or value is pandas.NA:
        return None
    if isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value


def table(schema, rows):
    rows = [plain(row) for row in rows]
    return {"schema": schema, "rows": sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))}


def arrow(read):
    return table({field.name: str(field.type) for field in read.schema}, read.to_pylist())


def logical(leaf):
    """Without what only the older converted types need."""
    return re.sub(r", is_from_converted_type=.*\)", ")", str(leaf.logical_type))


def footers(folder):
    import pyarrow.parquet as parquet

    files = []
    for place, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if name.endswith(".parquet"):
                path = os.path.join(place, name)
                file = parquet.ParquetFile(path)
                columns = [file.schema.column(index) for index in range(len(file.schema))]
                leaves = {leaf.path: [leaf.physical_type, logical(leaf)] for leaf in columns}
                rows = file.metadata.num_rows
                files.append({"path": os.path.relpath(path, folder), "rows": rows, "leaves": leaves})
    return {"files": files}


def pyarrow(folder):
    import pyarrow.parquet as parquet

    return arrow(parquet.read_table(folder))


def dataset(folder):
    import pyarrow.dataset as dataset

    return arrow(dataset.dataset(folder, partitioning="hive").to_table())


def pandas(folder):
    import pandas

    frame = pandas.read_parquet(folder)
    schema = {name: str(kind) for name, kind in frame.dtypes.items()}
    return table(schema, frame.astype(object).to_dict("records"))


def duckdb(folder):
    import duckdb

    files = os.path.join(folder, "**", "*.parquet").replace("'", "''")
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    query = f"select * from read_parquet('{files}')"
    schema = {row[0]: row[1] for row in connection.execute(f"describe {query}").fetchall()}
    names = list(schema)
    return table(schema, [dict(zip(names, row)) for row in connection.execute(query).fetchall()])


def spark(folder):
    import time

    from pyspark.sql import SparkSession

    # What is collected is in the zone of the process, and says none.
    os.environ["TZ"] = "UTC"
    time.tzset()
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
    }
    builder = SparkSession.builder.master("local[1]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    try:
        frame = session.read.parquet(folder)
        schema = {field.name: field.dataType.simpleString() for field in frame.schema}
        kinds = {field.name: field.dataType for field in frame.schema}
        rows = [{name: zoned(row[name], kind) for name, kind in kinds.items()} for row in frame.collect()]
        return table(schema, rows)
    finally:
        session.stop()


def zoned(value, kind):
    """A value of Spark's, with the zone where its type is of moments."""
    name = kind.typeName()
    if value is None:
        return None
    if name == "timestamp":
        return value.replace(tzinfo=datetime.timezone.utc)
    if name == "array":
        return [zoned(inner, kind.elementType) for inner in value]
    if name == "map":
        return [(key, zoned(inner, kind.valueType)) for key, inner in value.items()]
    if name == "struct":
        return {field.name: zoned(value[field.name], field.dataType) for field in kind}
    return bytes(value) if name == "binary" else value


READERS = {
    "parquet": footers,
    "pyarrow": pyarrow,
    "dataset": dataset,
    "pandas": pandas,
    "duckdb": duckdb,
    "spark": spark,
}


def main():
    folder, names = sys.argv[1], sys.argv[2:]
    seen = {}
    for name in names:
        reader = READERS[name]
        try:
            seen[name] = reader(folder)
        except Exception as error:  # what a reader says of a file is the answer
            seen[name] = {"error": f"{type(error).__name__}: {error}"}
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
