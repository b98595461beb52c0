package widget

import "math"

// dots are the bits of the dots of a braille character (U+2800), from the bottom up, in
// its left and its right column.
var dots = [2][4]rune{{0x40, 0x04, 0x02, 0x01}, {0x80, 0x20, 0x10, 0x08}}

// Area draws values as a filled area of width by height cells, with two values in the width
// of a cell and the newest on the right. top is the value at full height. NaN leaves a gap.
func Area(values []float64, width, height int, top float64) []string {
	columns := Resample(values, 2*width)
	lines := make([]string, height)
	for row := range height {
		line := make([]rune, width)
		for x := range line {
			line[x] = '\u2800'
			for side := range 2 {
				full := level(columns[2*x+side], top, 4*height)
				for i, dot := range dots[side] {
					if 4*(height-1-row)+i < full {
						line[x] |= dot
					}
				}
			}
		}
		lines[row] = string(line)
	}
	return lines
}

// level returns how many of n dots a value fills. A positive value fills at least one.
func level(value, top float64, n int) int {
	if math.IsNaN(value) || value <= 0 || top <= 0 {
		return 0
	}
	return max(1, min(n, int(math.Round(value/top*float64(n)))))
}

// Resample returns n values, each of which is the mean of those that it replaces, or NaN if
// there are none.
func Resample(values []float64, n int) []float64 {
	result := make([]float64, n)
	for i := range result {
		from, to := i*len(values)/n, (i+1)*len(values)/n
		if to == from {
			to = min(from+1, len(values))
		}
		sum, count := 0.0, 0
		for _, v := range values[min(from, to):to] {
			if !math.IsNaN(v) {
				sum, count = sum+v, count+1
			}
		}
		if result[i] = math.NaN(); count > 0 {
			result[i] = sum / float64(count)
		}
	}
	return result
}
