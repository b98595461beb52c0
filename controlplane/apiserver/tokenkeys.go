package apiserver

import (
	"context"
	"fmt"
	"sync"

	"gopkg.in/go-jose/go-jose.v2/jwt"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/kubernetes/pkg/serviceaccount"

	"github.com/skiff-dev/skiff/controlplane/reload"
)

// keysCacheSeconds is for how long others may keep the public keys. A new key is public
// for longer before it signs (package pki).
const keysCacheSeconds = 60

// tokenKeys signs the tokens of service accounts and verifies them, with keys that the host
// replaces. Upstream reads them only once.
type tokenKeys struct {
	verify *reload.Value[serviceaccount.PublicKeysGetter]
	sign   *reload.Value[serviceaccount.TokenGenerator]

	mu        sync.Mutex // guards listeners
	listeners []serviceaccount.Listener
}

// openTokenKeys reads the files of the key that signs and of those that verify, and follows
// their changes until ctx ends.
func openTokenKeys(ctx context.Context, signing, verifying, issuer string) (*tokenKeys, error) {
	verify, err := reload.Open(func(contents [][]byte) (serviceaccount.PublicKeysGetter, error) {
		keys, err := keyutil.ParsePublicKeysPEM(contents[0])
		if err != nil {
			return nil, err
		}
		return serviceaccount.StaticPublicKeysGetter(keys)
	}, verifying)
	if err != nil {
		return nil, fmt.Errorf("read the public keys of service accounts: %w", err)
	}
	sign, err := reload.Open(func(contents [][]byte) (serviceaccount.TokenGenerator, error) {
		key, err := keyutil.ParsePrivateKeyPEM(contents[0])
		if err != nil {
			return nil, err
		}
		return serviceaccount.JWTTokenGenerator(issuer, key)
	}, signing)
	if err != nil {
		return nil, fmt.Errorf("read the key of service accounts: %w", err)
	}
	k := &tokenKeys{verify: verify, sign: sign}
	go verify.Run(ctx, k.notify)
	go sign.Run(ctx, nil)
	return k, nil
}

func (k *tokenKeys) notify() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.listeners {
		l.Enqueue()
	}
}

// AddListener implements serviceaccount.PublicKeysGetter.
func (k *tokenKeys) AddListener(l serviceaccount.Listener) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listeners = append(k.listeners, l)
}

// GetCacheAgeMaxSeconds implements serviceaccount.PublicKeysGetter.
func (k *tokenKeys) GetCacheAgeMaxSeconds() int { return keysCacheSeconds }

// GetPublicKeys implements serviceaccount.PublicKeysGetter.
func (k *tokenKeys) GetPublicKeys(ctx context.Context, id string) []serviceaccount.PublicKey {
	return k.verify.Get().GetPublicKeys(ctx, id)
}

// GenerateToken implements serviceaccount.TokenGenerator.
func (k *tokenKeys) GenerateToken(ctx context.Context, claims *jwt.Claims, private any) (string, error) {
	return k.sign.Get().GenerateToken(ctx, claims, private)
}
