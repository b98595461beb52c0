package widget

import (
	"cmp"
	"slices"

	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/theme"
)

// Column of a Table.
type Column struct {
	Title string
	// Right aligns the cells to the right, for numbers.
	Right bool
	// Min is the width to which the column may be cut; 0 means that it is not cut.
	Min int
	// Spare columns are dropped before any other column is cut.
	Spare bool
}

// Source provides the rows of a Table. The table only reads the visible cells,
// and all cells of the column that it is sorted by.
type Source interface {
	Len() int
	// Key identifies row i, even when its cells change.
	Key(i int) string
	Cell(i, column int) string
	Tone(i, column int) theme.Tone
}

// Table shows rows in columns. Its cursor stays on its row when other rows
// appear or disappear.
type Table struct {
	Columns []Column
	// Sort is the index of the column to sort by, or -1 for the source's order.
	Sort    int
	Reverse bool

	by     string // title of the column to sort by, even if it is not shown
	source Source
	order  []int // rows in display order
	cursor int   // in order
	top    int   // first visible row
	first  int   // first visible column after the fixed one
	height int   // rows in the last View
	key    string
	marks  map[string]bool
	marked string // key of the last marked row
	widths []int
	// longest is the width of the longest cell of the last column.
	longest int
	drawn   []int // columns in the last View
	ends    []int // end of each of them, in cells
}

// NewTable returns an empty table in the source's order.
func NewTable(columns []Column) *Table {
	return &Table{Columns: columns, Sort: -1, height: 1, marks: map[string]bool{}}
}

// SetColumns changes the columns. Rows stay sorted by the same column; if it
// disappears, they are sorted by it again when it returns.
func (t *Table) SetColumns(columns []Column) {
	if slices.Equal(columns, t.Columns) {
		return
	}
	t.Columns, t.widths = columns, nil
	t.Sort = t.find(t.by)
	t.first = min(t.first, max(0, len(columns)-2))
}

func (t *Table) find(title string) int {
	if title == "" {
		return -1
	}
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Title == title })
}

// SetSource changes the rows. The cursor stays on its row, or at its position if
// the row has disappeared.
func (t *Table) SetSource(s Source) {
	t.source = s
	t.arrange()
}

// arrange sorts the rows and moves the cursor to its row.
func (t *Table) arrange() {
	n := t.source.Len()
	if cap(t.order) < n {
		t.order = make([]int, n)
	}
	t.order = t.order[:n]
	for i := range t.order {
		t.order[i] = i
	}
	if t.Sort >= 0 && t.Sort < len(t.Columns) {
		ranks := make([]object.Rank, n)
		for i := range ranks {
			ranks[i] = object.RankOf(t.source.Cell(i, t.Sort))
		}
		sign := 1
		if t.Reverse {
			sign = -1
		}
		slices.SortStableFunc(t.order, func(a, b int) int { return sign * ranks[a].Compare(ranks[b]) })
	} else if t.Reverse {
		slices.Reverse(t.order)
	}
	if t.key != "" && (t.cursor >= n || t.source.Key(t.order[t.cursor]) != t.key) {
		for i, row := range t.order {
			if t.source.Key(row) == t.key {
				t.cursor = i
				break
			}
		}
	}
	t.move(0)
}

// Hold pins the cursor to its row, as if the user had moved it there.
func (t *Table) Hold() { t.key = cmp.Or(t.Key(), t.key) }

// Len returns the number of rows.
func (t *Table) Len() int { return len(t.order) }

// Row returns the source's index of the row under the cursor, or -1.
func (t *Table) Row() int {
	if t.cursor < len(t.order) {
		return t.order[t.cursor]
	}
	return -1
}

// Key returns the key of the row under the cursor, or "".
func (t *Table) Key() string {
	if row := t.Row(); row >= 0 {
		return t.source.Key(row)
	}
	return ""
}

// Select moves the cursor to the row with the given key, once it exists.
func (t *Table) Select(key string) {
	t.key = key
	if t.source != nil {
		t.arrange()
	}
}

// Move moves the cursor by n rows.
func (t *Table) Move(n int) { t.move(n) }

func (t *Table) move(n int) {
	t.cursor = max(0, min(t.cursor+n, len(t.order)-1))
	if len(t.order) > 0 && n != 0 { // a cursor that was not moved stays at the top
		t.key = t.source.Key(t.order[t.cursor])
	}
	t.top = max(0, min(t.top, len(t.order)-t.height, t.cursor))
	if t.cursor >= t.top+t.height {
		t.top = t.cursor - t.height + 1
	}
}

// Page returns the number of rows to scroll by.
func (t *Table) Page() int { return max(1, t.height-1) }

// Click moves the cursor to the y-th line below the header. It reports whether
// there is a row.
func (t *Table) Click(y int) bool {
	i := t.top + y
	if y < 0 || i >= len(t.order) {
		return false
	}
	t.move(i - t.cursor)
	return true
}

// ClickHeader sorts by the column at cell x, and reverses the order if the table
// is already sorted by it.
func (t *Table) ClickHeader(x int) {
	for i, column := range t.drawn {
		if x < t.ends[i] && column < len(t.Columns) {
			t.SortBy(column, t.Sort == column && !t.Reverse)
			return
		}
	}
}

// SortBy sorts by a column, or in the source's order if column is negative.
func (t *Table) SortBy(column int, reverse bool) {
	title := ""
	if column >= 0 {
		title = t.Columns[column].Title
	}
	t.SortByTitle(title, reverse)
}

// SortByTitle sorts by the column with the given title, once it exists.
func (t *Table) SortByTitle(title string, reverse bool) {
	t.by, t.Sort, t.Reverse = title, t.find(title), reverse
	if t.source != nil {
		t.arrange()
	}
}

// SortedBy returns the title of the column that the table is sorted by, or ""
// for the source's order.
func (t *Table) SortedBy() (title string, reverse bool) { return t.by, t.Reverse }

// Shift scrolls the columns sideways. The first column is fixed.
func (t *Table) Shift(n int) {
	t.first = max(0, min(t.first+n, len(t.Columns)-2))
}

// Mark toggles the mark of the row under the cursor and moves to the next row.
func (t *Table) Mark() {
	if key := t.Key(); key != "" {
		if t.marks[key] {
			delete(t.marks, key)
		} else {
			t.marks[key] = true
		}
		t.marked = key
		t.move(1)
	}
}

// MarkRange marks the rows from the last marked one to the one under the cursor.
func (t *Table) MarkRange() {
	last := slices.IndexFunc(t.order, func(row int) bool { return t.source.Key(row) == t.marked })
	if t.marked == "" || last < 0 {
		last = t.cursor
	}
	for i := min(last, t.cursor); i <= max(last, t.cursor) && i < len(t.order); i++ {
		t.marks[t.source.Key(t.order[i])] = true
	}
	t.marked = t.Key()
}

// MarkAll marks all rows.
func (t *Table) MarkAll() {
	for _, row := range t.order {
		t.marks[t.source.Key(row)] = true
	}
}

// Unmark removes all marks.
func (t *Table) Unmark() { clear(t.marks) }

// Marked returns the source's indexes of the marked rows, or of the row under
// the cursor if none is marked.
func (t *Table) Marked() []int {
	var rows []int
	for _, row := range t.order {
		if t.marks[t.source.Key(row)] {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 && t.Row() >= 0 {
		rows = []int{t.Row()}
	}
	return rows
}

// Marks returns the number of marked rows.
func (t *Table) Marks() int {
	n := 0
	if len(t.marks) > 0 {
		for _, row := range t.order {
			if t.marks[t.source.Key(row)] {
				n++
			}
		}
	}
	return n
}

// Where returns the position of the cursor, from 1, and the number of rows.
func (t *Table) Where() (cursor, all int) {
	if len(t.order) == 0 {
		return 0, 0
	}
	return t.cursor + 1, len(t.order)
}
