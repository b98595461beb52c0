package pki

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

func keyNames(keys []EncryptionKey) string {
	var all []string
	for _, k := range keys {
		all = append(all, k.Name)
	}
	return strings.Join(all, " ")
}

// TestKeyringNext is the rotation as Kubernetes prescribes it.
func TestKeyringNext(t *testing.T) {
	for _, tt := range []struct {
		phase KeyringPhase
		seen  Seen
		want  Move
	}{
		{PhaseSettled, Seen{Loaded: false}, MoveDistribute},
		{PhaseSettled, Seen{Loaded: true}, MoveAdd},
		{PhaseSettled, Seen{Loaded: true, Stale: 3}, MoveAdd},
		{PhaseAdded, Seen{Loaded: false}, MoveDistribute},
		{PhaseAdded, Seen{Loaded: true}, MovePromote},
		{PhasePromoted, Seen{Loaded: false, Stale: 0}, MoveDistribute},
		{PhasePromoted, Seen{Loaded: true, Stale: 1}, MoveRewrite},
		{PhasePromoted, Seen{Loaded: true, Stale: 0}, MoveRemove},
		{PhaseRemoved, Seen{Loaded: false}, MoveDistribute},
		{PhaseRemoved, Seen{Loaded: true}, MoveFinish},
	} {
		if got := (Keyring{Phase: tt.phase}).Next(tt.seen); got != tt.want {
			t.Errorf("phase %q, %+v: %s, not %s", tt.phase, tt.seen, got, tt.want)
		}
	}
}

func newKeyring(t *testing.T) Keyring {
	t.Helper()
	k, err := authorities(t).Keyring()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func added(t *testing.T, k Keyring) Keyring {
	t.Helper()
	k, err := k.Add()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRotationKeepsEveryKeyThatAValueMayNeed(t *testing.T) {
	k := newKeyring(t)
	for range 2 {
		first := k.Keys[0]
		for _, step := range []struct {
			do    func(Keyring) Keyring
			first bool // the old key still encrypts
			old   bool // and is still known
		}{
			{func(k Keyring) Keyring { return added(t, k) }, true, true},
			{Keyring.Promote, false, true},
			{Keyring.Remove, false, false},
			{Keyring.Finish, false, false},
		} {
			k = step.do(k)
			if err := k.validate(); err != nil {
				t.Fatal(err)
			}
			known := slices.ContainsFunc(k.Keys, func(other EncryptionKey) bool { return other.Name == first.Name })
			if (k.Keys[0].Name == first.Name) != step.first || known != step.old {
				t.Errorf("phase %q: keys %s", k.Phase, keyNames(k.Keys))
			}
			encoded, err := k.Encode()
			if err != nil {
				t.Fatal(err)
			}
			again, err := Files{KeyringFile: encoded}.Keyring()
			if err != nil || keyNames(again.Keys) != keyNames(k.Keys) || keyNames(again.Retired) != keyNames(k.Retired) || again.Phase != k.Phase {
				t.Errorf("%+v came back as %+v, %v", k, again, err)
			}
		}
	}
	if keyNames(k.Keys) != "key3" || keyNames(k.Retired) != "key1 key2" || k.Phase != PhaseSettled {
		t.Errorf("after two rotations %q, retired %q, phase %q", keyNames(k.Keys), keyNames(k.Retired), k.Phase)
	}
}

func TestReadmittedKeysDecryptAndNeverEncrypt(t *testing.T) {
	settled := added(t, newKeyring(t)).Promote().Remove().Finish()
	for name, tt := range map[string]struct {
		from  Keyring
		keys  string
		phase KeyringPhase
		next  string // once the new first key is alone
	}{
		"never rotated": {newKeyring(t), "key1", PhaseSettled, "key1"},
		"settled":       {settled, "key2 key1", PhasePromoted, "key2"},
		"added":         {added(t, settled), "key2 key3 key1", PhaseAdded, "key3"},
		"promoted":      {added(t, settled).Promote(), "key3 key2 key1", PhasePromoted, "key3"},
		"removed":       {added(t, settled).Promote().Remove(), "key3 key1 key2", PhasePromoted, "key3"},
	} {
		got := tt.from.Readmit()
		if keyNames(got.Keys) != tt.keys || got.Phase != tt.phase {
			t.Errorf("%s: keys %s in phase %q", name, keyNames(got.Keys), got.Phase)
		}
		if got.Phase == PhaseAdded {
			got = got.Promote()
		}
		if got = got.Remove(); keyNames(got.Keys) != tt.next || got.validate() != nil {
			t.Errorf("%s: then keys %s, %v", name, keyNames(got.Keys), got.validate())
		}
		if len(got.Keys)+len(got.Retired) != len(tt.from.Keys)+len(tt.from.Retired) {
			t.Errorf("%s: a key was lost", name)
		}
	}
}

func TestConfigurationNamesTheFirstKeyFirst(t *testing.T) {
	k := added(t, newKeyring(t)).Promote()
	text := string(k.Configuration())
	one, two := strings.Index(text, "name: key1\n"), strings.Index(text, "name: key2\n")
	if two < 0 || one < two || strings.Index(text, "identity") < one {
		t.Errorf("order of keys:\n%s", text)
	}
}

func TestInvalidKeyringsAreRefused(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, files := range map[string]Files{
		"nothing":       {},
		"no JSON":       {KeyringFile: []byte("{")},
		"no key":        {KeyringFile: []byte(`{"keys":[]}`)},
		"short":         {KeyringFile: []byte(`{"keys":[{"name":"key1","secret":"AAAA"}]}`)},
		"no number":     {KeyringFile: []byte(`{"keys":[{"name":"mine","secret":"` + secret + `"}]}`)},
		"twice":         {KeyringFile: []byte(`{"keys":[{"name":"key1","secret":"` + secret + `"}],"retired":[{"name":"key1","secret":"` + secret + `"}]}`)},
		"unknown phase": {KeyringFile: []byte(`{"keys":[{"name":"key1","secret":"` + secret + `"}],"phase":"later"}`)},
		"one and added": {KeyringFile: []byte(`{"keys":[{"name":"key1","secret":"` + secret + `"}],"phase":"added"}`)},
		"an old key":    {"encryption.key": []byte("hello!")},
	} {
		if k, err := files.Keyring(); err == nil {
			t.Errorf("%s: %+v", name, k)
		}
	}
	if k, err := (Files{"encryption.key": []byte(secret + "\n")}).Keyring(); err != nil || keyNames(k.Keys) != "key1" {
		t.Errorf("the key of an old cluster: %+v, %v", k, err)
	}
}

func TestTheKeyringOfACloneForgetsTheKeysOfTheOtherCluster(t *testing.T) {
	old := newKeyring(t)
	for name, k := range map[string]Keyring{"settled": old, "during a rotation": added(t, old), "with retired keys": added(t, old).Promote().Remove().Finish()} {
		clone, err := k.Clone()
		if err != nil {
			t.Fatal(err)
		}
		if err := clone.validate(); err != nil || len(clone.Keys) != len(k.Keys)+1 || !clone.Foreign || clone.Next(Seen{Loaded: true, Stale: 1}) != MoveRewrite {
			t.Errorf("%s: %s in phase %q, %v", name, keyNames(clone.Keys), clone.Phase, err)
		}
		for _, key := range slices.Concat(k.Keys, k.Retired) {
			if key.Name == clone.Keys[0].Name || string(key.Secret) == string(clone.Keys[0].Secret) {
				t.Errorf("%s: the new key is %s of the other cluster", name, key.Name)
			}
		}
		if clone = clone.Remove().Finish(); len(clone.Keys) != 1 || len(clone.Retired) > 0 || clone.Foreign {
			t.Errorf("%s: at the end %s, retired %s", name, keyNames(clone.Keys), keyNames(clone.Retired))
		}
	}
}

func TestAClonedKeyringOfARunningClusterForgetsTheOtherKeys(t *testing.T) {
	first := newKeyring(t)
	first.Retired = added(t, first).Keys[1:]
	ring, err := first.CloneRunning()
	if err != nil {
		t.Fatal(err)
	}
	if ring.Phase != PhaseAdded || !ring.Foreign || len(ring.Retired) > 0 || keyNames(ring.Keys) != "key1 key3" || ring.validate() != nil {
		t.Errorf("%s in phase %s, retired %s", keyNames(ring.Keys), ring.Phase, keyNames(ring.Retired))
	}
	ring = ring.Promote()
	if !ring.Foreign || keyNames(ring.Keys) != "key3 key1" {
		t.Errorf("promoted: %s", keyNames(ring.Keys))
	}
	ring = ring.Remove().Finish()
	if ring.Foreign || keyNames(ring.Keys) != "key3" || len(ring.Retired) > 0 {
		t.Errorf("at the end: %s, retired %s", keyNames(ring.Keys), keyNames(ring.Retired))
	}
}
