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

// What holds the keys of Secrets at rest: on the host all of them, at a control
// plane the EncryptionConfiguration that its API server works with.
const (
	KeyringFile       = "keyring.json"
	EncryptionFile    = "encryption.yaml"
	firstKeyFile      = "encryption.key" // of clusters older than the keyring
	encryptionKeyName = "key"
	encryptionKeySize = 32 // secretbox
)

// Keyring is the keys of Secrets at rest, and how far a rotation of them has
// come. Each phase holds only once every control plane works with the keys of
// the one before, so that at any time each of them can read what any other
// writes (https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/#rotating-a-decryption-key).
type Keyring struct {
	// Keys decrypt, and the first of them encrypts.
	Keys []EncryptionKey `json:"keys"`
	// Phase of a rotation, PhaseSettled if none goes on.
	Phase KeyringPhase `json:"phase,omitempty"`
	// Retired keys are handed to nobody. Snapshots of the database that are older
	// than their retirement cannot be read without them.
	Retired []EncryptionKey `json:"retired,omitempty"`
}

// EncryptionKey is one key of the secretbox provider.
type EncryptionKey struct {
	// Name is part of every value that the key encrypted; never used twice.
	Name string `json:"name"`
	// Secret is 32 bytes.
	Secret []byte `json:"secret"`
}

// KeyringPhase is what was done last to a keyring.
type KeyringPhase string

// The phases, in their order.
const (
	PhaseSettled  KeyringPhase = ""
	PhaseAdded    KeyringPhase = "added"    // the new key is the second
	PhasePromoted KeyringPhase = "promoted" // the new key is the first
	PhaseRemoved  KeyringPhase = "removed"  // the new key is the only one
)

// Seen is what a rotation depends on beside its keyring.
type Seen struct {
	// Loaded: every control plane works with the keyring's Configuration.
	Loaded bool
	// Stale is the number of values in etcd that the first key did not encrypt;
	// looked at in PhasePromoted only.
	Stale int
}

// Move is the next thing to do in a rotation.
type Move string

// The moves.
const (
	MoveAdd        Move = "add"        // put a new key second
	MoveDistribute Move = "distribute" // have every control plane load the keyring
	MovePromote    Move = "promote"    // put the second key first
	MoveRewrite    Move = "rewrite"    // have every Secret written again
	MoveRemove     Move = "remove"     // keep the first key alone
	MoveFinish     Move = "finish"     // the rotation is over
)

// Next decides on a move. Every one may be done again, so that a rotation which
// was interrupted goes on from its keyring.
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

// Add puts a new key second.
func (k Keyring) Add() (Keyring, error) {
	key, err := newEncryptionKey(k.lastNumber() + 1)
	if err != nil {
		return Keyring{}, err
	}
	return Keyring{Keys: slices.Insert(slices.Clone(k.Keys), 1, key), Phase: PhaseAdded, Retired: k.Retired}, nil
}

// Promote exchanges the first key and the second.
func (k Keyring) Promote() Keyring {
	keys := slices.Clone(k.Keys)
	keys[0], keys[1] = keys[1], keys[0]
	return Keyring{Keys: keys, Phase: PhasePromoted, Retired: k.Retired}
}

// Remove retires all keys but the first.
func (k Keyring) Remove() Keyring {
	return Keyring{Keys: k.Keys[:1:1], Phase: PhaseRemoved, Retired: slices.Concat(k.Retired, k.Keys[1:])}
}

// Finish ends a rotation.
func (k Keyring) Finish() Keyring {
	k.Phase = PhaseSettled
	return k
}

// Readmit lets retired keys decrypt again, for a snapshot of the database that
// may need them. What the first key did not encrypt is then to be rewritten, as
// in a rotation.
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

// Configuration is the EncryptionConfiguration (YAML) of a control plane: it
// keeps Secrets under the first key, and reads what any key or none encrypted.
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

// Encode is the content of KeyringFile.
func (k Keyring) Encode() ([]byte, error) {
	content, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the keys of secrets at rest: %w", err)
	}
	return append(content, '\n'), nil
}

// Keyring reads that of a cluster's authorities.
func (f Files) Keyring() (Keyring, error) {
	content, ok := f[KeyringFile]
	if !ok {
		return keyringOf(f[firstKeyFile])
	}
	var k Keyring
	if err := json.Unmarshal(content, &k); err != nil {
		return Keyring{}, fmt.Errorf("read the keys of secrets at rest: %w", err)
	}
	return k, k.validate()
}

// keyringOf holds the one key that a cluster had before there were keyrings.
func keyringOf(secret []byte) (Keyring, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(secret)))
	if err != nil {
		return Keyring{}, fmt.Errorf("read the key of secrets at rest: %w", err)
	}
	k := Keyring{Keys: []EncryptionKey{{Name: encryptionKeyName + "1", Secret: raw}}}
	return k, k.validate()
}

func (k Keyring) validate() error {
	if !slices.Contains([]KeyringPhase{PhaseSettled, PhaseAdded, PhasePromoted, PhaseRemoved}, k.Phase) {
		return fmt.Errorf("the keys of secrets at rest are in an unknown phase, %q", k.Phase)
	}
	if len(k.Keys) == 0 || (k.Phase == PhaseAdded && len(k.Keys) < 2) {
		return fmt.Errorf("the keys of secrets at rest are incomplete: %d in phase %q", len(k.Keys), k.Phase)
	}
	names := map[string]bool{}
	for _, key := range slices.Concat(k.Keys, k.Retired) {
		if _, ok := key.number(); !ok || names[key.Name] || len(key.Secret) != encryptionKeySize {
			return fmt.Errorf("key %q of secrets at rest is none: a name of its own and %d bytes, not %d, are needed", key.Name, encryptionKeySize, len(key.Secret))
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
		return EncryptionKey{}, fmt.Errorf("read randomness: %w", err)
	}
	return EncryptionKey{Name: encryptionKeyName + strconv.Itoa(number), Secret: secret}, nil
}

// makeKeyring makes that of a new cluster.
func (f Files) makeKeyring() error {
	key, err := newEncryptionKey(1)
	if err != nil {
		return err
	}
	f[KeyringFile], err = Keyring{Keys: []EncryptionKey{key}}.Encode()
	return err
}
