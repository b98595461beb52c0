package widget

import (
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/tui/theme"
)

// gap is the number of cells between two columns.
const gap = 2

// View draws the table: a header and height-1 rows.
func (t *Table) View(th *theme.Theme, width, height int) []string {
	t.height = max(1, height-1)
	t.move(0)
	shown := t.order[min(t.top, len(t.order)):min(t.top+t.height, len(t.order))]
	cells := make([][]string, len(shown))
	for i, row := range shown {
		cells[i] = make([]string, len(t.Columns))
		for c := range t.Columns {
			cells[i][c] = t.source.Cell(row, c)
		}
	}
	t.measure(cells)
	columns, widths := t.layout(width)
	t.drawn, t.ends = columns, t.ends[:0]
	end := 2
	for _, w := range widths {
		end += w + gap
		t.ends = append(t.ends, end)
	}
	lines := make([]string, 0, height)
	lines = append(lines, t.header(th, columns, widths, width))
	for i, row := range shown {
		lines = append(lines, t.line(th, row, cells[i], columns, widths, width, t.top+i == t.cursor))
	}
	return lines
}

// measure widens columns to fit the visible cells. It never makes them narrower,
// so that columns do not jump while the user scrolls.
func (t *Table) measure(cells [][]string) {
	if len(t.widths) != len(t.Columns) {
		t.widths, t.longest = make([]int, len(t.Columns)), 0
		for c, column := range t.Columns {
			t.widths[c] = Width(column.Title) + 1
		}
	}
	for _, row := range cells {
		for c, cell := range row {
			t.widths[c] = max(t.widths[c], min(Width(cell), maxColumn))
		}
		if len(row) > 0 {
			t.longest = max(t.longest, Width(row[len(row)-1]))
		}
	}
}

// maxColumn is the maximum width of a column in cells. The last column also gets
// the room that is left.
const maxColumn = 60

// visible returns the columns that are not scrolled out to the left.
func (t *Table) visible() []int {
	var columns []int
	for c := range t.Columns {
		if c == 0 || c > t.first {
			columns = append(columns, c)
		}
	}
	return columns
}

// layout returns the columns that fit and their widths.
func (t *Table) layout(width int) (columns, widths []int) {
	columns = t.visible()
	room := width - 2
	total := -gap
	for _, c := range columns {
		widths = append(widths, t.widths[c])
		total += t.widths[c] + gap
	}
	for i := len(columns) - 1; i > 0 && total > room; i-- {
		if t.Columns[columns[i]].Spare {
			total -= widths[i] + gap
			columns, widths = slices.Delete(columns, i, i+1), slices.Delete(widths, i, i+1)
		}
	}
	for total > room { // cut the widest column that may be cut
		widest := -1
		for i, c := range columns {
			if least := t.Columns[c].Min; least > 0 && widths[i] > least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		total--
	}
	for total > room && len(columns) > 1 { // drop columns from the right
		last := len(columns) - 1
		rest := room - (total - widths[last])
		if rest >= 4 {
			widths[last], total = rest, room
			break
		}
		total -= widths[last] + gap
		columns, widths = columns[:last], widths[:last]
	}
	if total > room && len(widths) == 1 {
		widths[0] = max(1, room)
	}
	if last := len(columns) - 1; last >= 0 && columns[last] == len(t.Columns)-1 {
		more := max(0, min(room-total, t.longest-widths[last]))
		widths[last] += more
		total += more
	}
	if spare := room - total; spare > 0 && len(columns) > 1 {
		each := min(spare/(len(columns)-1), 6)
		for i := range columns[:len(columns)-1] {
			widths[i] += each
		}
	}
	return columns, widths
}

func (t *Table) header(th *theme.Theme, columns, widths []int, width int) string {
	var out strings.Builder
	out.WriteString("  ")
	for i, c := range columns {
		title := strings.ToUpper(t.Columns[c].Title)
		if c == t.Sort {
			arrow := "↑"
			if t.Reverse {
				arrow = "↓"
			}
			title = Cut(title, widths[i]-1) + arrow
		}
		out.WriteString(t.fit(title, c, widths[i]))
		if i < len(columns)-1 {
			out.WriteString(spaces(gap))
		}
	}
	text := Fit(out.String(), width)
	if t.first > 0 {
		text = Fit("◂ "+strings.TrimLeft(text, " "), width)
	}
	return th.Paint(theme.Header, text)
}

func (t *Table) fit(text string, column, width int) string {
	if t.Columns[column].Right {
		return FitRight(text, width)
	}
	return Fit(text, width)
}

func (t *Table) line(th *theme.Theme, row int, cells []string, columns, widths []int, width int, selected bool) string {
	marked := t.marks[t.source.Key(row)]
	var out strings.Builder
	used := 2
	switch {
	case selected && marked:
		out.WriteString(th.On(theme.Selected) + "● ")
	case selected:
		out.WriteString(th.On(theme.Selected) + "▌ ")
	case marked:
		out.WriteString(th.Paint(theme.Marked, "● "))
	default:
		out.WriteString("  ")
	}
	for i, c := range columns {
		text := t.fit(cells[c], c, widths[i])
		if !selected {
			tone := t.source.Tone(row, c)
			if marked {
				tone = theme.Marked
			}
			text = th.Paint(tone, text)
		}
		out.WriteString(text)
		used += widths[i]
		if i < len(columns)-1 {
			out.WriteString(spaces(gap))
			used += gap
		}
	}
	out.WriteString(spaces(width - used))
	if selected {
		out.WriteString(th.Off())
	}
	return out.String()
}
