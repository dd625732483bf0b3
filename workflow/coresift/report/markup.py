"""Results as text: tables in Markdown and LaTeX, lists of names."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def wide(table: pl.DataFrame) -> pl.DataFrame:
    """Selections as rows, primary metrics of the tasks as columns: mean ± std [low, high].

    A column is called by task, metric and protocol.
    """
    text = pl.format(
        "{}{} [{}, {}]",
        four_places("mean"),
        pl.when(pl.col("std").is_null())
        .then(pl.lit(""))
        .otherwise(pl.format(" ± {}", four_places("std"))),
        four_places("low"),
        four_places("high"),
    )
    main = table.filter("primary").with_columns(
        cell=text,
        column=pl.format(
            "{} ({})",
            "task",
            pl.concat_str("metric", "protocol", separator=", ", ignore_nulls=True),
        ),
    )
    return main.pivot(on="column", index="selection", values="cell").fill_null("")


def four_places(name: str) -> pl.Expr:
    """A column of numbers as text; null stays null."""
    return pl.col(name).map_elements(lambda v: f"{v:z.4f}", pl.String)


#: A p-value of a table below this is shown as below it.
_SMALLEST_P = 0.0001


def as_text(table: pl.DataFrame) -> pl.DataFrame:
    """A table of strings: numbers to four decimals, nothing where there is none."""
    floats = pl.selectors.float()
    rounded = table.with_columns(floats.round(4).cast(pl.String).replace("-0.0", "0.0"))
    shown = rounded.cast(pl.String).fill_null("")
    small = [
        pl.when(table[name] < _SMALLEST_P)
        .then(pl.lit(f"< {_SMALLEST_P}"))
        .otherwise(pl.col(name))
        .alias(name)
        for name in ("p", "p_adjusted")
        if name in table.columns and table[name].dtype.is_float()
    ]
    return shown.with_columns(small)


def to_markdown(table: pl.DataFrame) -> str:
    """A Markdown table of strings."""
    lines = [" | ".join(table.columns), " | ".join("---" for _ in table.columns)]
    lines += [" | ".join(map(str, row)) for row in table.iter_rows()]
    return "".join(f"| {line} |\n" for line in lines)


def to_latex(table: pl.DataFrame, footnotes: Sequence[str] = ()) -> str:
    """A booktabs table of strings, and lines below it."""
    escape = str.maketrans({"_": r"\_", "%": r"\%", "±": r"$\pm$"})
    rows = [table.columns, *table.iter_rows()]
    body = [" & ".join(str(c).translate(escape) for c in row) + r" \\" for row in rows]
    head = rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}"
    return "\n".join(
        [
            *(head, r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}"),
            *(rf"\par {line.translate(escape)}" for line in footnotes),
            "",
        ]
    )


def listed(names: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
