from savs.cli.head_map import head_map, head_map_lines
from savs.features import HeadLayout

RAGGED = HeadLayout.from_layers([(0, 2, 3), (2, 3, 5)])


def test__head_map__ragged_layers__none_where_there_is_no_head():
    assert head_map(RAGGED, [1, 2, 3, 4, 5]) == [[1, 2, None], [None, None, None], [3, 4, 5]]


def test__lines__shade_by_score_and_mark_kept_heads():
    lines = head_map_lines(RAGGED, [0, 0, 4, 2, 0], {(2, 0)}, unicode=False)
    assert lines[0] == "  0       -- "
    assert lines[1] == "  1 -- -- -- "
    assert lines[2] == "  2 ##*::    "
    assert lines[3].endswith("0 to 4 hits .to# * kept")


def test__lines__all_scores_equal__no_division_by_zero():
    assert "█" in head_map_lines(RAGGED, [3] * 5, set(), unicode=True)[0]
