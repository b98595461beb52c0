package keys

import "testing"

func TestNoKeyHasTwoActionsInOneScope(t *testing.T) {
	if err := Default().check(); err != nil {
		t.Error(err)
	}
}

func TestEveryBindingIsComplete(t *testing.T) {
	for _, b := range defaults {
		if b.Help == "" || b.Action == "" || b.Scope == "" || len(b.Keys) == 0 {
			t.Errorf("%+v", b)
		}
	}
}

func TestTheFirstScopeWins(t *testing.T) {
	b, ok := Default().Lookup("s", Pods, Objects, List)
	if !ok || b.Action != Shell {
		t.Errorf("got %+v", b)
	}
	if b, ok = Default().Lookup("s", Scalable, Objects, List); !ok || b.Action != Scale {
		t.Errorf("got %+v", b)
	}
	if b, ok = Default().Lookup("?"); !ok || b.Action != Help {
		t.Errorf("got %+v", b)
	}
}

func TestRebindingRemovesTheOldKey(t *testing.T) {
	m, err := Default().Rebind(map[string]string{"objects.describe": "D"})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Lookup("d", Objects); ok {
		t.Error("the old key still works")
	}
	if b, ok := m.Lookup("D", Objects); !ok || b.Action != Describe {
		t.Errorf("got %+v", b)
	}
	if b, _ := Default().Lookup("d", Objects); b.Action != Describe {
		t.Error("Rebind has changed the default map")
	}
	for _, wrong := range []map[string]string{{"fly": "x"}, {"objects.fly": "x"}, {"objects.describe": "y"}} {
		if _, err := Default().Rebind(wrong); err == nil {
			t.Errorf("%v is accepted", wrong)
		}
	}
}
