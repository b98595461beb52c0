package drivers

import "testing"

func TestBestDriverIsTheFirstThatIsFast(t *testing.T) {
	for want, states := range map[string][2]string{
		"lima":    {driverReady, driverReady},
		"sandbox": {driverSlow, driverReady},
		"":        {driverUnavailable, driverUnavailable},
	} {
		got, err := bestDriver([]driverFacts{{Name: "lima", State: states[0]}, {Name: "sandbox", State: states[1]}})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%v: %q, %v; want %q", states, got, err, want)
		}
	}
	if got, err := bestDriver([]driverFacts{{Name: "lima", State: driverSlow}, {Name: "sandbox", State: driverUnavailable}}); got != "lima" || err != nil {
		t.Errorf("emulation is better than nothing: %q, %v", got, err)
	}
}
