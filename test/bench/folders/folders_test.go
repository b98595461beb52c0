package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestWorkIsTimedAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	r := result{Create: math.MaxFloat64, Read: math.MaxFloat64, Delete: math.MaxFloat64, Write: math.MaxFloat64, Scan: math.MaxFloat64}
	if err := r.add(work{files: 3, megabytes: 1}, filepath.Join(dir, "bench")); err != nil {
		t.Fatal(err)
	}
	for _, seconds := range []float64{r.Create, r.Read, r.Delete, r.Write, r.Scan} {
		if seconds <= 0 || seconds > 60 {
			t.Errorf("a step took %v s", seconds)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

func TestFoldersAreComparedWithTheDisk(t *testing.T) {
	disk := result{placeDisk, 1, 1, 1, 1, 1}
	figures, err := compare(work{}, []result{{placeFolder, 2, 1, 1, 1, 1}, {placeClaim, 1, 1, 1, 1, 1}, disk})
	if err != nil || len(figures) != 10 {
		t.Fatalf("%d figures, %v", len(figures), err)
	}
	if *figures[0].Ratio != 2 || *figures[0].Met || !*figures[1].Met {
		t.Errorf("%+v", figures[:2])
	}
	if _, err := compare(work{}, []result{disk}); err == nil {
		t.Error("a missing place was accepted")
	}
}
