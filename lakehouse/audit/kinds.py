"""What becomes of each expectation type that Great Expectations has: judged where, or refused why.

Every type in GX's registry is in exactly one of the three; a test compares. docs/expectations.md
is written from here.
"""

from __future__ import annotations

# Judged for each row inside the parse, by the condition that GX's own Spark engine makes.
ROW = frozenset(
    {
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
        "expect_column_pair_values_to_be_in_set",
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_be_null",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_match_regex_list",
        "expect_column_values_to_not_be_in_set",
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_not_match_regex",
        "expect_column_values_to_not_match_regex_list",
        "expect_multicolumn_sum_to_equal",
        "expect_multicolumn_values_to_be_equal",
        "expect_select_column_values_to_be_unique_within_record",
    }
)

# GX counts all rows of these by their row_condition, but judges also those that it leaves out.
UNCONDITIONAL = frozenset({"expect_column_pair_values_to_be_in_set"})

# Row by row where the query is `SELECT * FROM {batch} WHERE ...`, on a version otherwise.
SQL = "unexpected_rows_expectation"

# Judged by GX itself on a committed version of silver: what they say is of the table, not of a row.
TABLE = frozenset(
    {
        "expect_column_distinct_values_to_be_in_set",
        "expect_column_distinct_values_to_contain_set",
        "expect_column_distinct_values_to_equal_set",
        "expect_column_kl_divergence_to_be_less_than",
        "expect_column_max_to_be_between",
        "expect_column_mean_to_be_between",
        "expect_column_median_to_be_between",
        "expect_column_min_to_be_between",
        "expect_column_most_common_value_to_be_in_set",
        "expect_column_proportion_of_non_null_values_to_be_between",
        "expect_column_proportion_of_unique_values_to_be_between",
        "expect_column_quantile_values_to_be_between",
        "expect_column_stdev_to_be_between",
        "expect_column_sum_to_be_between",
        "expect_column_to_exist",
        "expect_column_type_to_be",
        "expect_column_unique_value_count_to_be_between",
        "expect_column_value_z_scores_to_be_less_than",
        "expect_column_values_to_be_in_type_list",
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_be_unique",
        "expect_column_values_to_not_be_outliers",
        "expect_compound_columns_to_be_unique",
        "expect_table_column_count_to_be_between",
        "expect_table_column_count_to_equal",
        "expect_table_columns_to_match_ordered_list",
        "expect_table_columns_to_match_set",
        "expect_table_row_count_to_be_between",
        "expect_table_row_count_to_equal",
    }
)

_PYTHON = "GX judges it by Python code for each row, which the row path never runs"
_ORDER = "the rows of a table have no order"
_NO_SPARK = "GX has no Spark implementation of it"
_ELSEWHERE = "it reads another data source, which a version of one table does not have"

REFUSED = {
    "expect_column_values_to_be_dateutil_parseable": _NO_SPARK,
    "expect_column_values_to_be_decreasing": _ORDER,
    "expect_column_values_to_be_increasing": _ORDER,
    "expect_column_values_to_be_json_parseable": _PYTHON,
    "expect_column_values_to_match_json_schema": _PYTHON,
    "expect_column_values_to_match_like_pattern": _NO_SPARK,
    "expect_column_values_to_match_like_pattern_list": _NO_SPARK,
    "expect_column_values_to_match_strftime_format": _PYTHON,
    "expect_column_values_to_not_match_like_pattern": _NO_SPARK,
    "expect_column_values_to_not_match_like_pattern_list": _NO_SPARK,
    "expect_query_results_to_match_comparison": _ELSEWHERE,
    "expect_table_row_count_to_equal_other_table": _ELSEWHERE,
}
