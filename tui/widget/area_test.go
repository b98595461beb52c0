package widget

import (
	"math"
	"strings"
	"testing"
)

func TestAreaHasTwoValuesInACellAndFourLevelsInARow(t *testing.T) {
	for _, c := range []struct {
		values        []float64
		width, height int
		want          string
	}{
		{[]float64{0, 1, 2, 3, 4, 4}, 3, 1, "⢀⣴⣿"},
		{[]float64{8, 4}, 1, 2, "⡇|⣿"},
		{[]float64{math.NaN(), 4}, 1, 1, "⢸"},
		{[]float64{0.01, 0}, 1, 1, "⡀"},
		{nil, 2, 1, "⠀⠀"},
		{[]float64{1, 1, 3, 3}, 1, 1, "⣰"},
	} {
		top := 4.0 * float64(c.height)
		if got := strings.Join(Area(c.values, c.width, c.height, top), "|"); got != c.want {
			t.Errorf("%v: %s, want %s", c.values, got, c.want)
		}
	}
}
