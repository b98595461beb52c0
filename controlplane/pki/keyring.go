package pki

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Files that hold the keys for secrets at rest: all keys on the host, and on a
// control plane the EncryptionConfiguration of its API server.
const (
	KeyringFile       = "keyring.json"
	EncryptionFile    = "encryption.yaml"
	firstKeyFile      = "encryption.key" // in clusters made before the keyring
	encryptionKeyName = "key"
	encryptionKeySize = 32 // secretbox
)

// Keyring holds the keys for secrets at rest and the phase of their rotation. A
// phase starts only when every control plane has loaded the keys of the phase
// before, so that each of them can always read what any other writes
// (https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/#rotating-a-decryption-key).
type Keyring struct {
	// Keys decrypt. The first also encrypts.
	Keys []EncryptionKey `json:"keys"`
	// Phase of a rotation; PhaseSettled if there is none.
	Phase KeyringPhase `json:"phase,omitempty"`
	// Retired keys are not handed out. They are needed to read snapshots of the
	// database from before their retirement.
	Retired []EncryptionKey `json:"retired,omitempty"`
	// Foreign is set while all keys but the new one are those of another cluster. They are
	// not kept once nothing needs them.
	Foreign bool `json:"foreign,omitempty"`
}

// EncryptionKey is one key of the secretbox provider.
type EncryptionKey struct {
	// Name is part of every value that the key encrypted, and is never reused.
	Name string `json:"name"`
	// Secret is 32 bytes.
	Secret []byte `json:"secret"`
}

// KeyringPhase is the last step of a rotation.
type KeyringPhase string

// The phases, in order.
const (
	PhaseSettled  KeyringPhase = ""
	PhaseAdded    KeyringPhase = "added"    // the new key is the second
	PhasePromoted KeyringPhase = "promoted" // the new key is the first
	PhaseRemoved  KeyringPhase = "removed"  // the new key is the only one
)

// Seen is what a rotation depends on besides its keyring.
type Seen struct {
	// Loaded is true if every control plane has loaded the keyring's Configuration.
	Loaded bool
	// Stale is the number of values in etcd that the first key did not encrypt. It is
	// used in PhasePromoted only.
	Stale int
}

// Move is a step of a rotation.
type Move string

// The moves.
const (
	MoveAdd        Move = "add"        // insert a new key as the second
	MoveDistribute Move = "distribute" // let every control plane load the keyring
	MovePromote    Move = "promote"    // swap the first and the second key
	MoveRewrite    Move = "rewrite"    // rewrite every secret
	MoveRemove     Move = "remove"     // retire all keys but the first
	MoveFinish     Move = "finish"     // end the rotation
)

// Next returns the next move. Each may be repeated, so an interrupted rotation
// continues from its keyring.
func (k Keyring) Next(seen Seen) Move {
	switch {
	case !seen.Loaded:
		return MoveDistribute
	case k.Phase == PhaseAdded:
		return MovePromote
	case k.Phase == PhasePromoted && seen.Stale > 0:
		return MoveRewrite
	case k.Phase == PhasePromoted:
		return MoveRemove
	case k.Phase == PhaseRemoved:
		return MoveFinish
	default:
		return MoveAdd
	}
}

// Add inserts a new key as the second.
func (k Keyring) Add() (Keyring, error) {
	key, err := newEncryptionKey(k.lastNumber() + 1)
	if err != nil {
		return Keyring{}, err
	}
	return Keyring{Keys: slices.Insert(slices.Clone(k.Keys), 1, key), Phase: PhaseAdded, Retired: k.Retired}, nil
}

// Promote swaps the first and the second key.
func (k Keyring) Promote() Keyring {
	keys := slices.Clone(k.Keys)
	keys[0], keys[1] = keys[1], keys[0]
	return Keyring{Keys: keys, Phase: PhasePromoted, Retired: k.Retired, Foreign: k.Foreign}
}

// CloneRunning is Clone for a cluster whose control planes run with this keyring: they have to
// load the new key before any of them encrypts with it.
func (k Keyring) CloneRunning() (Keyring, error) {
	added, err := k.Add()
	added.Retired, added.Foreign = nil, true
	return added, err
}

// Clone returns the keyring of a new cluster that begins with the data of this one. Its
// first key is new; everything that the others encrypted must be rewritten, as in a
// rotation.
func (k Keyring) Clone() (Keyring, error) {
	key, err := newEncryptionKey(k.lastNumber() + 1)
	if err != nil {
		return Keyring{}, err
	}
	return Keyring{Keys: slices.Insert(slices.Clone(k.Keys), 0, key), Phase: PhasePromoted, Foreign: true}, nil
}

// Remove retires all keys but the first, or forgets them if they are another cluster's.
func (k Keyring) Remove() Keyring {
	if k.Foreign {
		return Keyring{Keys: k.Keys[:1:1], Phase: PhaseRemoved}
	}
	return Keyring{Keys: k.Keys[:1:1], Phase: PhaseRemoved, Retired: slices.Concat(k.Retired, k.Keys[1:])}
}

// Finish ends a rotation.
func (k Keyring) Finish() Keyring {
	k.Phase = PhaseSettled
	return k
}

// Readmit lets retired keys decrypt again, which a restored snapshot of the database
// may need. Values that the first key did not encrypt must then be rewritten, as in
// a rotation.
func (k Keyring) Readmit() Keyring {
	if len(k.Retired) == 0 {
		return k
	}
	phase := k.Phase
	if phase != PhaseAdded {
		phase = PhasePromoted
	}
	return Keyring{Keys: slices.Concat(k.Keys, k.Retired), Phase: phase}
}

// Configuration returns a control plane's EncryptionConfiguration in YAML. It
// encrypts secrets with the first key and reads values encrypted with any key or
// none.
func (k Keyring) Configuration() []byte {
	var out strings.Builder
	out.WriteString(`apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox:
      keys:
`)
	for _, key := range k.Keys {
		fmt.Fprintf(&out, "      - name: %s\n        secret: %s\n", key.Name, base64.StdEncoding.EncodeToString(key.Secret))
	}
	out.WriteString("  - identity: {}\n")
	return []byte(out.String())
}

// Encode returns the content of KeyringFile.
func (k Keyring) Encode() ([]byte, error) {
	content, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the keyring: %w", err)
	}
	return append(content, '\n'), nil
}

// Keyring reads the keyring among a cluster's authorities.
func (f Files) Keyring() (Keyring, error) {
	content, ok := f[KeyringFile]
	if !ok {
		return keyringOf(f[firstKeyFile])
	}
	var k Keyring
	if err := json.Unmarshal(content, &k); err != nil {
		return Keyring{}, fmt.Errorf("parse the keyring: %w", err)
	}
	return k, k.validate()
}

// keyringOf returns a keyring with the single key of a cluster made before the
// keyring.
func keyringOf(secret []byte) (Keyring, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(secret)))
	if err != nil {
		return Keyring{}, fmt.Errorf("parse the encryption key: %w", err)
	}
	k := Keyring{Keys: []EncryptionKey{{Name: encryptionKeyName + "1", Secret: raw}}}
	return k, k.validate()
}

func (k Keyring) validate() error {
	if !slices.Contains([]KeyringPhase{PhaseSettled, PhaseAdded, PhasePromoted, PhaseRemoved}, k.Phase) {
		return fmt.Errorf("the keyring is in an unknown phase %q", k.Phase)
	}
	if len(k.Keys) == 0 || (k.Phase == PhaseAdded && len(k.Keys) < 2) {
		return fmt.Errorf("the keyring is incomplete: %d keys in phase %q", len(k.Keys), k.Phase)
	}
	names := map[string]bool{}
	for _, key := range slices.Concat(k.Keys, k.Retired) {
		if _, ok := key.number(); !ok || names[key.Name] || len(key.Secret) != encryptionKeySize {
			return fmt.Errorf("invalid key %q in the keyring: it needs a unique name and %d bytes, not %d", key.Name, encryptionKeySize, len(key.Secret))
		}
		names[key.Name] = true
	}
	return nil
}

func (k EncryptionKey) number() (int, bool) {
	digits, ok := strings.CutPrefix(k.Name, encryptionKeyName)
	number, err := strconv.Atoi(digits)
	return number, ok && err == nil && number > 0
}

func (k Keyring) lastNumber() int {
	last := 0
	for _, key := range slices.Concat(k.Keys, k.Retired) {
		if number, ok := key.number(); ok {
			last = max(last, number)
		}
	}
	return last
}

func newEncryptionKey(number int) (EncryptionKey, error) {
	secret := make([]byte, encryptionKeySize)
	if _, err := rand.Read(secret); err != nil {
		return EncryptionKey{}, fmt.Errorf("read random bytes: %w", err)
	}
	return EncryptionKey{Name: encryptionKeyName + strconv.Itoa(number), Secret: secret}, nil
}

// makeKeyring makes the keyring of a new cluster.
func (f Files) makeKeyring() error {
	key, err := newEncryptionKey(1)
	if err != nil {
		return err
	}
	f[KeyringFile], err = Keyring{Keys: []EncryptionKey{key}}.Encode()
	return err
}
