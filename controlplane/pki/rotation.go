package pki

import (
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// RotationFile is the host's file with the state of a rotation of authorities. It does
// not exist while there is none.
const RotationFile = "rotation.json"

// maxRotation bounds that file, in bytes.
const maxRotation = 1 << 20

// ServiceAccounts is the name of the key that signs service account tokens, in a
// Rotation and in RotationNames.
const ServiceAccounts = "sa"

// RotationNames returns what can be rotated: the authorities by their paths, and
// ServiceAccounts.
func RotationNames() []string {
	return []string{"ca", "front-proxy-ca", "etcd/ca", "host-ca", "cloud-ca", ServiceAccounts}
}

// Rotation replaces authorities and the key of service accounts. A phase starts only
// when every running node has the files of the phase before and its programs have had
// time to use them, so that each part always trusts what any other presents
// (https://kubernetes.io/docs/tasks/tls/manual-rotation-of-ca-certificates/).
type Rotation struct {
	// Version is rotationVersion.
	Version int           `json:"version"`
	Phase   RotationPhase `json:"phase"`
	// Distributed is when all running nodes had the files of the phase; zero until then.
	Distributed time.Time `json:"distributed,omitzero"`
	// Issued is when everything was signed with the new keys; zero until then.
	Issued time.Time `json:"issued,omitzero"`
	// Revoke is set if old tokens are refused without waiting for their expiry.
	Revoke bool `json:"revoke,omitempty"`
	// Replacements by their names (RotationNames).
	Replacements map[string]Replacement `json:"replacements"`
}

// Replacement is the change of one authority, in PEM.
type Replacement struct {
	// Old and New are certificates, of ServiceAccounts public keys. Key is New's private
	// key.
	Old []byte `json:"old"`
	New []byte `json:"new"`
	Key []byte `json:"key"`
}

const rotationVersion = 1

// ErrNewerRotation means that a newer release began the rotation.
var ErrNewerRotation = errors.New("a newer version of skiff began to replace the cluster's authorities")

// RotationPhase is the last step of a rotation.
type RotationPhase string

// The phases, in order.
const (
	PhaseTrust    RotationPhase = "trust"    // old keys sign, old and new ones are trusted
	PhaseIssue    RotationPhase = "issue"    // new keys sign, old and new ones are trusted
	PhaseDistrust RotationPhase = "distrust" // old authorities are no longer trusted, old tokens are
	PhaseForget   RotationPhase = "forget"   // nothing old is trusted
)

// RotationSeen is what a rotation depends on besides its own state.
type RotationSeen struct {
	Now time.Time
	// Distributed is true if every running node has the files of the phase.
	Distributed bool
	// Outdated is true if an etcd member must be started again to use them for its
	// connections to other members.
	Outdated bool
	// OldTokens is the number of tokens in running pods that the old key signed. It is
	// used in PhaseDistrust only.
	OldTokens int
}

// RotationMove is a step of a rotation.
type RotationMove string

// The moves.
const (
	RotateHandOut  RotationMove = "hand out" // give running nodes the files of the phase
	RotateRestart  RotationMove = "restart"  // start control planes again whose etcd member is outdated
	RotateMark     RotationMove = "mark"     // record that all nodes have the files
	RotateWait     RotationMove = "wait"     // until programs use them
	RotateAwait    RotationMove = "await"    // until tokens have been renewed, which takes about an hour
	RotateIssue    RotationMove = "issue"    // sign with the new keys
	RotateDistrust RotationMove = "distrust" // stop to trust old authorities
	RotateRevoke   RotationMove = "revoke"   // renew tokens in pods now
	RotateForget   RotationMove = "forget"   // stop to trust the old key of tokens
	RotateFinish   RotationMove = "finish"   // end the rotation
)

// How long programs take to use files that they were given.
const (
	// clientReload is how long client-go takes to read its file of authorities again:
	// five minutes, and the API server sends the request that causes it every 30 s.
	clientReload = 5*time.Minute + 45*time.Second
	// serverReload is how long Kubernetes' servers take to read a file again if the
	// kernel did not tell them that it changed: a minute.
	serverReload = 75 * time.Second
	// ownReload is how long parts take that look every second or for every connection.
	ownReload = 5 * time.Second
	// tokensForgotten is how long API servers accept a token after they have lost the key
	// that signed it: they look for the file every second, and keep the answer about a
	// token for 10 s (TokenSuccessCacheTTL of k8s.io/kubernetes' authenticator).
	tokensForgotten = 15 * time.Second
	// TokenLife is how long the tokens in pods are valid at most, unless the pod asks for
	// longer ones. Kubelets replace them after 80 % of that.
	TokenLife = time.Hour + 5*time.Minute
	// longestToken is when kubelets replace tokens at the latest, however long a pod wants
	// them to be valid.
	longestToken = 25 * time.Hour
)

// Next returns the next move. Each may be repeated, so an interrupted rotation
// continues from its state.
func (r Rotation) Next(seen RotationSeen) RotationMove {
	switch {
	case !seen.Distributed:
		return RotateHandOut
	case seen.Outdated:
		return RotateRestart
	case r.Distributed.IsZero():
		return RotateMark
	case seen.Now.Before(r.Settled()):
		return RotateWait
	}
	switch r.Phase {
	case PhaseTrust:
		return RotateIssue
	case PhaseIssue:
		return RotateDistrust
	case PhaseDistrust:
		return r.nextOfTokens(seen)
	default:
		return RotateFinish
	}
}

func (r Rotation) nextOfTokens(seen RotationSeen) RotationMove {
	_, tokens := r.Replacements[ServiceAccounts]
	switch {
	case !tokens:
		return RotateForget
	case r.Revoke && seen.OldTokens > 0:
		return RotateRevoke
	case r.Revoke, seen.Now.After(r.Issued.Add(longestToken)):
		return RotateForget
	case seen.Now.Before(r.TokensEnd()) || seen.OldTokens > 0:
		return RotateAwait
	}
	return RotateForget
}

// TokensEnd is when old tokens are refused, if all pods have new ones by then.
func (r Rotation) TokensEnd() time.Time { return r.Issued.Add(TokenLife) }

// Settled is when all programs use the files of the phase.
func (r Rotation) Settled() time.Time { return r.Distributed.Add(r.dwell()) }

func (r Rotation) dwell() time.Duration {
	_, cluster := r.Replacements["ca"]
	_, proxy := r.Replacements["front-proxy-ca"]
	_, tokens := r.Replacements[ServiceAccounts]
	switch {
	case r.Phase == PhaseTrust && cluster:
		return clientReload
	case r.Phase == PhaseTrust && tokens: // others may keep public keys for a minute
		return serverReload
	case r.Phase != PhaseForget && (cluster || proxy):
		return serverReload
	case r.Phase == PhaseForget && tokens:
		return tokensForgotten
	case r.Phase == PhaseTrust || r.Phase == PhaseIssue:
		return ownReload
	}
	return 0
}

// Advance returns the rotation at the beginning of another phase. Keys that nothing
// needs any more are not part of it.
func (r Rotation) Advance(phase RotationPhase) Rotation {
	r.Phase, r.Distributed = phase, time.Time{}
	return r
}

// Mark returns the rotation with the time at which all running nodes had the files of
// its phase.
func (r Rotation) Mark(now time.Time) Rotation {
	r.Distributed = now
	if r.Phase == PhaseIssue {
		r.Issued = now
	}
	return r
}

// BeginRotation makes new authorities and keys with the given names (RotationNames).
func (f Files) BeginRotation(names []string, now time.Time) (Rotation, error) {
	r := Rotation{Version: rotationVersion, Phase: PhaseTrust, Replacements: map[string]Replacement{}}
	for _, name := range names {
		made := Files{}
		var err error
		if name == ServiceAccounts {
			err = made.makeServiceAccountKey()
		} else {
			var old string
			if old, err = commonName(f[name+".crt"]); err == nil {
				err = made.makeAuthority(name, old, now)
			}
		}
		if err != nil {
			return Rotation{}, fmt.Errorf("replace %s: %w", name, err)
		}
		r.Replacements[name] = Replacement{Old: f[public(name)], New: made[public(name)], Key: made[name+".key"]}
	}
	return r, r.validate()
}

// Rotated returns the files that a rotation of everything replaces: the authorities and the
// key of service accounts.
func (f Files) Rotated() (Files, error) {
	files := Files{}
	for _, name := range RotationNames() {
		if err := files.take(f, public(name), name+".key"); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Before returns the files as they were before a rotation that has not left its first phase,
// in which nothing is signed by new keys. ok is false in every other phase.
func (f Files) Before() (before Files, ok bool) {
	r, err := f.Rotation()
	if err != nil || r == nil || r.Phase != PhaseTrust {
		return nil, false
	}
	before = maps.Clone(f)
	delete(before, RotationFile)
	return before, true
}

func commonName(certificate []byte) (string, error) {
	parsed, err := parseCertificate(certificate)
	if err != nil {
		return "", err
	}
	return parsed.Subject.CommonName, nil
}

// public returns the path of what others trust.
func public(name string) string {
	if name == ServiceAccounts {
		return name + ".pub"
	}
	return name + ".crt"
}

// Rotation returns the rotation in progress, nil if there is none.
func (f Files) Rotation() (*Rotation, error) {
	content, ok := f[RotationFile]
	if !ok {
		return nil, nil
	}
	r, err := ParseRotation(content)
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// ParseRotation decodes RotationFile.
func ParseRotation(content []byte) (Rotation, error) {
	var r Rotation
	if len(content) > maxRotation {
		return r, fmt.Errorf("%s is larger than %d bytes", RotationFile, maxRotation)
	}
	if err := json.Unmarshal(content, &r); err != nil {
		return Rotation{}, fmt.Errorf("parse %s: %w", RotationFile, err)
	}
	if r.Version > rotationVersion {
		return Rotation{}, ErrNewerRotation
	}
	return r, r.validate()
}

// Encode returns the content of RotationFile.
func (r Rotation) Encode() ([]byte, error) {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the rotation of authorities: %w", err)
	}
	return append(content, '\n'), nil
}

func (r Rotation) validate() error {
	if r.Version != rotationVersion || !slices.Contains([]RotationPhase{PhaseTrust, PhaseIssue, PhaseDistrust, PhaseForget}, r.Phase) {
		return fmt.Errorf("%s has version %d and phase %q", RotationFile, r.Version, r.Phase)
	}
	if len(r.Replacements) == 0 {
		return fmt.Errorf("%s replaces nothing", RotationFile)
	}
	for name, p := range r.Replacements {
		if !slices.Contains(RotationNames(), name) {
			return fmt.Errorf("%s replaces %q, which is unknown", RotationFile, name)
		}
		if err := p.validate(name); err != nil {
			return fmt.Errorf("%s: %s: %w", RotationFile, name, err)
		}
	}
	return nil
}

func (p Replacement) validate(name string) error {
	key, err := parseKey(p.Key)
	if err != nil {
		return err
	}
	for _, content := range [][]byte{p.Old, p.New} {
		if name == ServiceAccounts {
			_, err = parsePublicKey(content)
		} else {
			_, err = parseCertificate(content)
		}
		if err != nil {
			return err
		}
	}
	public, ok := key.Public().(*ecdsa.PublicKey)
	if trusted, err := publicKey(name, p.New); err != nil || !ok || !public.Equal(trusted) {
		return errors.Join(errors.New("the new key is that of another certificate"), err)
	}
	return nil
}

// Names returns what is replaced, in the order of RotationNames.
func (r Rotation) Names() []string {
	return slices.DeleteFunc(RotationNames(), func(name string) bool { _, ok := r.Replacements[name]; return !ok })
}

// Effective returns the files as they are in the phase of their rotation: the keys that
// sign now have the usual names. Once a rotation is over they are on disk like that.
func (f Files) Effective() (Files, error) {
	r, err := f.Rotation()
	if err != nil || r == nil || r.Phase == PhaseTrust {
		return f, err
	}
	effective := maps.Clone(f)
	for name, p := range r.Replacements {
		effective[public(name)], effective[name+".key"] = p.New, p.Key
	}
	return effective, nil
}

// Bundle returns all certificates of an authority, or public keys of ServiceAccounts,
// that are trusted now. That which signs is the first.
func (f Files) Bundle(name string) ([]byte, error) {
	own, ok := f[public(name)]
	if !ok {
		return nil, fmt.Errorf("the cluster's authorities do not include %s", public(name))
	}
	r, err := f.Rotation()
	if err != nil || r == nil {
		return own, err
	}
	p, ok := r.Replacements[name]
	switch {
	case !ok:
		return own, nil
	case r.Phase == PhaseTrust:
		return slices.Concat(own, p.New), nil
	case r.Phase == PhaseIssue, r.Phase == PhaseDistrust && name == ServiceAccounts:
		return slices.Concat(own, p.Old), nil
	}
	return own, nil
}

// trust takes the bundles of authorities over.
func (f Files) trust(from Files, names ...string) error {
	for _, name := range names {
		bundle, err := from.Bundle(name)
		if err != nil {
			return err
		}
		f[public(name)] = bundle
	}
	return nil
}
