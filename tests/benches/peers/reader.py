"""Adds up a folder of Parquet as DuckDB sees it. usage: reader.py FOLDER events|numbered

Files whose names begin with a dot or an underscore are hidden to readers, and left out.
"""

import glob
import json
import os
import sys

import duckdb

SUMS = {
    "events": """
        count(*) AS rows, count(DISTINCT event_id) AS distinct_ids, sum(user_id)::UBIGINT AS user_ids,
        sum(epoch_ms(ts) - 1767225600000)::UBIGINT AS milliseconds, sum(quantity)::UBIGINT AS quantity,
        sum(properties.ab_bucket)::UBIGINT AS ab_buckets, sum(len(tags))::UBIGINT AS tags,
        (sum(amount) * 100)::UBIGINT AS cents, count(*) - count(referrer) AS null_referrers""",
    "numbered": "count(*) AS rows, count(DISTINCT id) AS distinct_ids, sum(id)::UBIGINT AS user_ids",
}


def visible(path):
    return not any(part.startswith((".", "_")) for part in path.split(os.sep))


folder, kind = sys.argv[1:]
found = glob.glob("**", root_dir=folder, recursive=True)
files = [os.path.join(folder, path) for path in found if visible(path) and os.path.isfile(os.path.join(folder, path))]
connection = duckdb.connect(config={"threads": 2})
query = connection.execute(f"SELECT {SUMS[kind]} FROM read_parquet($files)", {"files": files})
totals = dict(zip([column[0] for column in query.description], query.fetchone()))
print(json.dumps({"totals": totals, "files": len(files), "bytes": sum(map(os.path.getsize, files))}))
