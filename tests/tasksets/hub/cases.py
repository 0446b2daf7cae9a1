"""Small datasets of known texts for the tests of from_hf."""

import json

CLASSES = [f"class {letter}" for letter in "abcdefghij"]


def rows(each=4, classes=CLASSES):
    """Return rows with texts that contain their class and number: 'class a says 0', …"""
    return [
        {"text": f"{name} says {i}", "label": name, "other": i}
        for i in range(each)
        for name in classes
    ]


def decoded(source):
    """Return the text and the class name of each item."""
    return [
        (source.vocabulary.decode(source[i][0]), source.classes[source[i][1]])
        for i in range(len(source))
    ]


def write(path, table):
    """Write rows as a file of the kind given by its extension."""
    import importlib

    arrow = importlib.import_module("pyarrow")
    table = arrow.Table.from_pylist(table)
    if path.suffix == ".parquet":
        importlib.import_module("pyarrow.parquet").write_table(table, path, row_group_size=7)
    elif path.suffix == ".arrow":
        with arrow.OSFile(str(path), "wb") as file, arrow.ipc.new_stream(file, table.schema) as out:
            out.write_table(table, max_chunksize=7)
    elif path.suffix in (".csv", ".tsv"):
        csv = importlib.import_module("pyarrow.csv")
        separator = "\t" if path.suffix == ".tsv" else ","
        csv.write_csv(table, path, csv.WriteOptions(delimiter=separator))
    else:
        path.write_text("\n".join(json.dumps(row) for row in table.to_pylist()), encoding="utf-8")
    return path
