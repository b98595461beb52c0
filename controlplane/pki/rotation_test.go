package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRotationDecidesByWhatIsKnown(t *testing.T) {
	began := now
	at := func(after time.Duration) time.Time { return began.Add(after) }
	of := func(phase RotationPhase, names ...string) Rotation {
		r := Rotation{Phase: phase, Replacements: map[string]Replacement{}}
		for _, name := range names {
			r.Replacements[name] = Replacement{}
		}
		return r
	}
	marked := func(r Rotation) Rotation { return r.Mark(began) }
	issued := func(r Rotation) Rotation {
		r.Issued = began
		return r
	}
	revoked := func(r Rotation) Rotation {
		r.Revoke = true
		return r
	}
	for name, tt := range map[string]struct {
		rotation Rotation
		seen     RotationSeen
		want     RotationMove
	}{
		"begun":                          {of(PhaseTrust, "ca"), RotationSeen{Now: at(0)}, RotateHandOut},
		"handed out":                     {of(PhaseTrust, "ca"), RotationSeen{Now: at(0), Distributed: true}, RotateMark},
		"handed out, etcd outdated":      {of(PhaseTrust, "ca"), RotationSeen{Now: at(0), Distributed: true, Outdated: true}, RotateRestart},
		"clients have not read it":       {marked(of(PhaseTrust, "ca")), RotationSeen{Now: at(5 * time.Minute), Distributed: true}, RotateWait},
		"clients have read it":           {marked(of(PhaseTrust, "ca")), RotationSeen{Now: at(6 * time.Minute), Distributed: true}, RotateIssue},
		"a node lost it":                 {marked(of(PhaseTrust, "ca")), RotationSeen{Now: at(6 * time.Minute)}, RotateHandOut},
		"node API alone waits briefly":   {marked(of(PhaseTrust, "host-ca")), RotationSeen{Now: at(6 * time.Second), Distributed: true}, RotateIssue},
		"tokens alone outlast caches":    {marked(of(PhaseTrust, ServiceAccounts)), RotationSeen{Now: at(60 * time.Second), Distributed: true}, RotateWait},
		"issued a moment ago":            {marked(of(PhaseIssue, "ca")), RotationSeen{Now: at(time.Minute), Distributed: true}, RotateWait},
		"issued":                         {marked(of(PhaseIssue, "ca")), RotationSeen{Now: at(2 * time.Minute), Distributed: true}, RotateDistrust},
		"distrusted a moment ago":        {marked(of(PhaseDistrust, "ca")), RotationSeen{Now: at(time.Minute), Distributed: true}, RotateWait},
		"distrusted":                     {marked(of(PhaseDistrust, "ca")), RotationSeen{Now: at(2 * time.Minute), Distributed: true}, RotateForget},
		"tokens are young":               {issued(marked(of(PhaseDistrust, ServiceAccounts))), RotationSeen{Now: at(time.Hour), Distributed: true}, RotateAwait},
		"tokens are gone":                {issued(marked(of(PhaseDistrust, ServiceAccounts))), RotationSeen{Now: at(2 * time.Hour), Distributed: true}, RotateForget},
		"a pod keeps a token":            {issued(marked(of(PhaseDistrust, ServiceAccounts))), RotationSeen{Now: at(2 * time.Hour), Distributed: true, OldTokens: 1}, RotateAwait},
		"a pod keeps a token for a day":  {issued(marked(of(PhaseDistrust, ServiceAccounts))), RotationSeen{Now: at(26 * time.Hour), Distributed: true, OldTokens: 1}, RotateForget},
		"tokens are revoked":             {revoked(issued(marked(of(PhaseDistrust, ServiceAccounts)))), RotationSeen{Now: at(2 * time.Minute), Distributed: true, OldTokens: 1}, RotateRevoke},
		"tokens are revoked and renewed": {revoked(issued(marked(of(PhaseDistrust, ServiceAccounts)))), RotationSeen{Now: at(2 * time.Minute), Distributed: true}, RotateForget},
		"answers about tokens are kept":  {marked(of(PhaseForget, ServiceAccounts)), RotationSeen{Now: at(10 * time.Second), Distributed: true}, RotateWait},
		"tokens are forgotten":           {marked(of(PhaseForget, ServiceAccounts)), RotationSeen{Now: at(20 * time.Second), Distributed: true}, RotateFinish},
		"forgotten, tokens are kept":     {marked(of(PhaseForget, "ca")), RotationSeen{Now: at(0), Distributed: true}, RotateFinish},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.rotation.Next(tt.seen); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// phases returns the files of a cluster at each step of a rotation of everything.
func phases(t *testing.T) map[RotationPhase]Files {
	t.Helper()
	files := authorities(t)
	r, err := files.BeginRotation(RotationNames(), now)
	if err != nil {
		t.Fatal(err)
	}
	all := map[RotationPhase]Files{"": files}
	for _, phase := range []RotationPhase{PhaseTrust, PhaseIssue, PhaseDistrust, PhaseForget} {
		content, err := r.Advance(phase).Encode()
		if err != nil {
			t.Fatal(err)
		}
		if all[phase], err = Merge(files, Files{RotationFile: content}).Effective(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Two nodes, or a node and the host, may be in phases that follow each other.
func TestNeighbouringPhasesTrustEachOther(t *testing.T) {
	all := phases(t)
	order := []RotationPhase{"", PhaseTrust, PhaseIssue, PhaseDistrust, PhaseForget}
	made := map[RotationPhase]Files{}
	for _, phase := range order {
		files, err := ControlPlane(all[phase], node, now)
		if err != nil {
			t.Fatal(err)
		}
		host, err := Host(all[phase], now)
		if err != nil {
			t.Fatal(err)
		}
		made[phase] = Merge(host, files)
	}
	trusts := func(a, b RotationPhase, leaf, authority string) bool {
		certificate, err := parseCertificate(made[a][leaf+".crt"])
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(made[b][authority+".crt"])
		_, err = certificate.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err == nil
	}
	for i, a := range order {
		for j, b := range order {
			near := max(i, j)-min(i, j) <= 1
			for leaf, authority := range map[string]string{
				"apiserver": "ca", "kubelet": "ca", "kubelet-server": "ca", "admin": "ca", "front-proxy-client": "front-proxy-ca",
				"etcd/peer": "etcd/ca", "node-api": "host-ca", "host": "host-ca", "cloud-client": "cloud-ca",
			} {
				if near && !trusts(a, b, leaf, authority) {
					t.Errorf("%s of phase %q is not trusted in phase %q", leaf, a, b)
				}
				if b == PhaseForget && a == "" && trusts(a, b, leaf, authority) {
					t.Errorf("the old %s is trusted at the end", leaf)
				}
			}
			signing, err := parseKey(made[a]["sa.key"])
			if err != nil {
				t.Fatal(err)
			}
			verified := slices.ContainsFunc(Split(made[b]["sa.pub"]), func(public []byte) bool {
				key, err := parsePublicKey(public)
				return err == nil && equalKeys(key, signing.Public())
			})
			if near && !verified {
				t.Errorf("tokens of phase %q are refused in phase %q", a, b)
			}
			if verified && b == PhaseForget && i < 2 {
				t.Errorf("tokens of phase %q are accepted at the end", a)
			}
		}
	}
}

func equalKeys(a, b any) bool {
	x, err := x509.MarshalPKIXPublicKey(a)
	y, failed := x509.MarshalPKIXPublicKey(b)
	return err == nil && failed == nil && bytes.Equal(x, y)
}

func TestTheSignersCertificateIsASingleOne(t *testing.T) {
	for phase, files := range phases(t) {
		plane, err := ControlPlane(files, node, now)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(Split(plane[SignerFile])); n != 1 {
			t.Errorf("phase %q: %d certificates", phase, n)
		}
		key, err := parseKey(plane["ca.key"])
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := parseCertificate(plane[SignerFile])
		if err != nil || !equalKeys(certificate.PublicKey, key.Public()) {
			t.Errorf("phase %q: the signer's key is that of another certificate, %v", phase, err)
		}
	}
}

func TestRotationsAreDescribed(t *testing.T) {
	for phase, want := range map[RotationPhase]string{
		"":            "ca: current signs",
		PhaseTrust:    "ca: old signs, new",
		PhaseIssue:    "ca: new signs, old",
		PhaseDistrust: "ca: new signs",
		PhaseForget:   "ca: new signs",
	} {
		all, err := phases(t)[phase].Describe()
		if err != nil {
			t.Fatal(err)
		}
		var of []string
		for _, a := range all {
			if a.Name != "ca" {
				continue
			}
			text := map[bool]string{true: "old"}[a.Old] + map[bool]string{true: "new"}[a.New]
			if text == "" {
				text = "current"
			}
			if a.Signs {
				text += " signs"
			}
			of = append(of, text)
		}
		if got := "ca: " + strings.Join(of, ", "); got != want {
			t.Errorf("phase %q: %s, want %s", phase, got, want)
		}
	}
}

func TestInvalidRotationsAreRejected(t *testing.T) {
	r, err := authorities(t).BeginRotation([]string{"ca", ServiceAccounts}, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Rotation){
		"phase":   func(r *Rotation) { r.Phase = "settled" },
		"nothing": func(r *Rotation) { r.Replacements = nil },
		"unknown": func(r *Rotation) { r.Replacements["other"] = r.Replacements["ca"] },
		"version": func(r *Rotation) { r.Version = 0 },
		"another's key": func(r *Rotation) {
			p := r.Replacements["ca"]
			p.Key = r.Replacements["sa"].Key
			r.Replacements["ca"] = p
		},
		"no certificate":  func(r *Rotation) { p := r.Replacements["ca"]; p.New = nil; r.Replacements["ca"] = p },
		"old without key": func(r *Rotation) { p := r.Replacements["sa"]; p.Old = []byte("x"); r.Replacements["sa"] = p },
	} {
		content, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		copied, err := ParseRotation(content)
		if err != nil {
			t.Fatal(err)
		}
		change(&copied)
		if content, err = copied.Encode(); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseRotation(content); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := ParseRotation([]byte(`{"version": 2}`)); !errors.Is(err, ErrNewerRotation) {
		t.Errorf("a newer version: %v", err)
	}
}

func TestBundlesOfUsersFollowTheCluster(t *testing.T) {
	old, added, other := authorities(t)["ca.crt"], authorities(t)["ca.crt"], authorities(t)["ca.crt"]
	join := func(all ...[]byte) []byte { return slices.Concat(all...) }
	for name, tt := range map[string]struct {
		bundle, want []byte
		only         bool
	}{
		"none":                {nil, nil, false},
		"another's":           {other, other, false},
		"another's at last":   {other, other, true},
		"ours":                {join(other, old), join(other, old, added), false},
		"ours again":          {join(other, old, added), join(other, old, added), false},
		"ours at last":        {join(other, old, added), join(other, added), true},
		"ours at last, again": {join(other, added), join(other, added), true},
		"ours, only at last":  {join(old), join(added), true},
	} {
		if got := ReplaceIn(tt.bundle, old, added, tt.only); !bytes.Equal(got, tt.want) {
			t.Errorf("%s: %d certificates, want %d", name, len(Split(got)), len(Split(tt.want)))
		}
	}
}

func TestTheSumOfABundleDoesNotDependOnItsOrder(t *testing.T) {
	a, b := authorities(t)["ca.crt"], authorities(t)["ca.crt"]
	if BundleSum(slices.Concat(a, b)) != BundleSum(slices.Concat(b, a)) {
		t.Error("another sum in another order")
	}
	if BundleSum(a) == BundleSum(slices.Concat(a, b)) || BundleSum(a) == BundleSum(b) {
		t.Error("other authorities have the same sum")
	}
}

func FuzzParseRotation(f *testing.F) {
	files, err := Authorities(now)
	if err != nil {
		f.Fatal(err)
	}
	r, err := files.BeginRotation(RotationNames(), now)
	if err != nil {
		f.Fatal(err)
	}
	content, err := r.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add([]byte(`{"version":1,"phase":"trust","replacements":{"ca":{}}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := ParseRotation(content)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseRotation(again); err != nil {
			t.Errorf("what was read is not written so that it can be read: %v", err)
		}
	})
}
