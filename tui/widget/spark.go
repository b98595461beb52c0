package widget

// blocks of a sparkline from nothing to full.
var blocks = []rune(" ▁▂▃▄▅▆▇█")

// Series is the last values of a figure, the newest at the end.
type Series []float64

// maxSeries bounds how many values are kept.
const maxSeries = 240

// Add appends a value; the oldest goes when there are too many.
func (s Series) Add(value float64) Series {
	if len(s) >= maxSeries {
		s = append(Series(nil), s[len(s)-maxSeries+1:]...)
	}
	return append(s, value)
}

// Last is the newest value, 0 if there is none.
func (s Series) Last() float64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1]
}

// headroom is how much higher than the largest value a graph is that has no top:
// one that does not change is no solid bar then.
const headroom = 1.5

// Spark draws the last values into width cells, top being the full height; with
// top 0 it follows from the largest of them.
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
