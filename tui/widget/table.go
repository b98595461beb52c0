package widget

import (
	"cmp"
	"slices"

	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
)

// Column of a Table.
type Column struct {
	Title string
	// Right says that cells stand at the right end: numbers.
	Right bool
	// Min is the least width to which the column is cut; 0 never cuts it.
	Min int
	// Spare columns are left out before any other is cut.
	Spare bool
}

// Source is what a Table shows. It is asked for what is on the screen only,
// and for all cells of the column by which the table is sorted.
type Source interface {
	Len() int
	// Key tells row i from all others, whatever changes in it.
	Key(i int) string
	Cell(i, column int) string
	Tone(i, column int) theme.Tone
}

// Table is a list of rows in columns, with a cursor that stays on its row when
// others come and go.
type Table struct {
	Columns []Column
	// Sort is the column by which rows are sorted, -1 for the source's order.
	Sort    int
	Reverse bool

	by     string // title of the column by which rows are sorted, shown or not
	source Source
	order  []int // rows in the order in which they are shown
	cursor int   // in order
	top    int   // first row that is shown
	first  int   // first column that is shown after the fixed one
	height int   // rows shown the last time
	key    string
	marks  map[string]bool
	marked string // key of the row that was marked last
	widths []int
	// longest is the width of the longest cell of the last column.
	longest int
	drawn   []int // columns as they were drawn the last time
	ends    []int // cell behind each of them
}

// NewTable returns an empty table in the source's order.
func NewTable(columns []Column) *Table {
	return &Table{Columns: columns, Sort: -1, height: 1, marks: map[string]bool{}}
}

// SetColumns changes the columns. Rows stay sorted by the same column, and are
// again when it comes back.
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

// SetSource shows other rows. The cursor stays on its row, or where it was if
// that is gone.
func (t *Table) SetSource(s Source) {
	t.source = s
	t.arrange()
}

// arrange sorts and finds the cursor's row again.
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

// Hold keeps the cursor on its row when others come and go, as if it had been
// moved there.
func (t *Table) Hold() { t.key = cmp.Or(t.Key(), t.key) }

// Len is the number of rows.
func (t *Table) Len() int { return len(t.order) }

// Row is the source's index of the row under the cursor, -1 if there is none.
func (t *Table) Row() int {
	if t.cursor < len(t.order) {
		return t.order[t.cursor]
	}
	return -1
}

// Key of the row under the cursor, "" if there is none.
func (t *Table) Key() string {
	if row := t.Row(); row >= 0 {
		return t.source.Key(row)
	}
	return ""
}

// Select puts the cursor on the row called key, now or when it comes.
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
	if len(t.order) > 0 && n != 0 { // until somebody moves it, it stays at the top
		t.key = t.source.Key(t.order[t.cursor])
	}
	t.top = max(0, min(t.top, len(t.order)-t.height, t.cursor))
	if t.cursor >= t.top+t.height {
		t.top = t.cursor - t.height + 1
	}
}

// Page is how many rows a page has.
func (t *Table) Page() int { return max(1, t.height-1) }

// Click puts the cursor on the y-th line below the header; false if no row is
// there.
func (t *Table) Click(y int) bool {
	i := t.top + y
	if y < 0 || i >= len(t.order) {
		return false
	}
	t.move(i - t.cursor)
	return true
}

// ClickHeader sorts by the column at cell x, the other way round if it is
// sorted by it.
func (t *Table) ClickHeader(x int) {
	for i, column := range t.drawn {
		if x < t.ends[i] && column < len(t.Columns) {
			t.SortBy(column, t.Sort == column && !t.Reverse)
			return
		}
	}
}

// SortBy sorts by a column, or in the source's order if it is below 0.
func (t *Table) SortBy(column int, reverse bool) {
	title := ""
	if column >= 0 {
		title = t.Columns[column].Title
	}
	t.SortByTitle(title, reverse)
}

// SortByTitle sorts by the column of that title as soon as there is one.
func (t *Table) SortByTitle(title string, reverse bool) {
	t.by, t.Sort, t.Reverse = title, t.find(title), reverse
	if t.source != nil {
		t.arrange()
	}
}

// SortedBy is the title of the column by which rows are sorted, "" for the
// source's order.
func (t *Table) SortedBy() (title string, reverse bool) { return t.by, t.Reverse }

// Shift moves the columns sideways; the first stays.
func (t *Table) Shift(n int) {
	t.first = max(0, min(t.first+n, len(t.Columns)-2))
}

// Mark turns the mark of the row under the cursor over and goes down one.
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

// MarkRange marks all from the row that was marked last to the one under the
// cursor.
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

// MarkAll marks all rows that are there.
func (t *Table) MarkAll() {
	for _, row := range t.order {
		t.marks[t.source.Key(row)] = true
	}
}

// Unmark takes all marks away.
func (t *Table) Unmark() { clear(t.marks) }

// Marked are the source's indexes of the marked rows, or of the one under the
// cursor if none is marked.
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

// Marks is how many of the rows that are there are marked.
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

// Where says which rows are shown: "12/5000".
func (t *Table) Where() (cursor, all int) {
	if len(t.order) == 0 {
		return 0, 0
	}
	return t.cursor + 1, len(t.order)
}
