package client

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestSamplesAreAlignedWithTheirTimes(t *testing.T) {
	begin := time.Unix(1000, 0)
	answer := `{"status":"success","data":{"result":[{"metric":{},"values":[[1000,"1"],[1020,"3.5"],[1030,"NaN"],[1040,"+Inf"],[9000,"7"]]},{"values":[[1010,"9"]]}]}}`
	values, err := decodeRange(strings.NewReader(answer), begin, 10*time.Second, 5)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{1, math.NaN(), 3.5, math.NaN(), math.NaN()} {
		if values[i] != want && !(math.IsNaN(values[i]) && math.IsNaN(want)) {
			t.Errorf("value %d: %v, want %v", i, values[i], want)
		}
	}
	for answer, want := range map[string]string{`{"error":"parse error"}`: "parse error", `nonsense`: "read the recorded metrics"} {
		if _, err := decodeRange(strings.NewReader(answer), begin, time.Second, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", answer, err)
		}
	}
}
