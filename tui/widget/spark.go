package widget

// blocks are the levels of a sparkline, from empty to full.
var blocks = []rune(" ▁▂▃▄▅▆▇█")

// Series holds the latest values of a measurement, newest last.
type Series []float64

// maxSeries is the maximum number of values.
const maxSeries = 240

// Add appends a value and drops the oldest one if there are too many.
func (s Series) Add(value float64) Series {
	if len(s) >= maxSeries {
		s = append(Series(nil), s[len(s)-maxSeries+1:]...)
	}
	return append(s, value)
}

// Last returns the newest value, or 0.
func (s Series) Last() float64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1]
}

// headroom is the ratio of the height of a graph without a fixed top to its
// largest value. It keeps a constant value from filling the graph.
const headroom = 1.5

// Spark draws the latest values in width cells. top is the value at full height;
// 0 derives it from the largest value.
func Spark(s Series, width int, top float64) string {
	if width <= 0 {
		return ""
	}
	shown := s[max(0, len(s)-width):]
	if top <= 0 {
		for _, v := range shown {
			top = max(top, v*headroom)
		}
	}
	line := make([]rune, 0, width)
	for range width - len(shown) {
		line = append(line, ' ')
	}
	for _, v := range shown {
		level := 0
		if top > 0 && v > 0 {
			level = 1 + int(v/top*float64(len(blocks)-2)+0.5)
		}
		line = append(line, blocks[max(0, min(level, len(blocks)-1))])
	}
	return string(line)
}
