package dns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/coredns/caddy/caddyfile"
	"github.com/miekg/dns"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/nodeagent/client"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// The keys of the ConfigMap with the user's own configuration, as in k3s and AKS.
const (
	overrideKey = ".override" // more directives for all names
	serverKey   = ".server"   // servers for zones
)

// maxCustom bounds the size of the user's configuration.
const maxCustom = 256 << 10

// customDirectives are what the user's configuration may contain.
var customDirectives = []string{"errors", "log", "loadbalance", "cache", "rewrite", "hosts", "forward"}

// custom is the user's configuration in the form of a Corefile: lines for the
// server of all names, and further servers.
type custom struct{ lines, servers string }

// parseCustom checks the user's configuration. Servers listen on the node's own
// address as the one for all names does.
func parseCustom(data map[string]string, node nodeconfig.Node) (custom, error) {
	var c custom
	size := 0
	for _, key := range slices.Sorted(maps.Keys(data)) {
		text := data[key]
		if size += len(text); size > maxCustom {
			return custom{}, fmt.Errorf("larger than %d KiB", maxCustom>>10)
		}
		var err error
		switch {
		case strings.HasSuffix(key, overrideKey):
			err = c.addLines(key, text)
		case strings.HasSuffix(key, serverKey):
			err = c.addServers(key, text, node)
		default:
			err = errors.New("the key must end with .server or .override")
		}
		if err != nil {
			return custom{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	return c, nil
}

func (c *custom) addLines(key, text string) error {
	blocks, err := parseBlocks(key, ". {\n"+text+"\n}\n")
	if err != nil {
		return err
	}
	if len(blocks) != 1 {
		return errors.New("must contain directives only; put servers into a key that ends with .server")
	}
	lines, err := render(blocks[0])
	c.lines += lines
	return err
}

func (c *custom) addServers(key, text string, node nodeconfig.Node) error {
	blocks, err := parseBlocks(key, text)
	if err != nil {
		return err
	}
	for _, block := range blocks {
		for _, zone := range block.Keys {
			if err := checkZone(zone, node.Kubernetes.DNSDomain); err != nil {
				return err
			}
		}
		lines, err := render(block)
		if err != nil {
			return err
		}
		c.servers += fmt.Sprintf("%s {\n  bind %s\n  %s\n%s}\n", strings.Join(block.Keys, " "), node.Network.Address.Addr(), countDirective, lines)
	}
	return nil
}

// parseBlocks parses server blocks. Imports would read files of the node.
func parseBlocks(name, text string) ([]caddyfile.ServerBlock, error) {
	if slices.Contains(strings.Fields(text), "import") {
		return nil, errors.New("import is not supported")
	}
	blocks, err := caddyfile.Parse(name, strings.NewReader(text), customDirectives)
	if err != nil {
		return nil, fmt.Errorf("%w; the directives are %s", err, strings.Join(customDirectives, ", "))
	}
	return blocks, nil
}

// checkZone returns an error if the user's configuration must not serve a zone.
func checkZone(zone, cluster string) error {
	name := dns.CanonicalName(strings.TrimSuffix(zone, ":53"))
	if _, ok := dns.IsDomainName(name); !ok || strings.ContainsAny(name, ":/{}\"") {
		return fmt.Errorf("invalid zone %q: use a domain such as corp.example", zone)
	}
	if dns.IsSubDomain(name, dns.CanonicalName(cluster)) {
		return fmt.Errorf("zone %q contains the cluster's domain %s", zone, cluster)
	}
	return nil
}

// render returns the directives of a block, one a line, as the parser reads them.
func render(block caddyfile.ServerBlock) (string, error) {
	var b strings.Builder
	for _, directive := range slices.Sorted(maps.Keys(block.Tokens)) {
		if namesFile(directive, block.Tokens[directive]) {
			return "", fmt.Errorf("%s: files are not supported", directive)
		}
		line := 0
		for _, token := range block.Tokens[directive] {
			text, err := quote(token.Text)
			if err != nil {
				return "", err
			}
			if token.Line != line {
				if line != 0 {
					b.WriteByte('\n')
				}
				b.WriteByte(' ')
				line = token.Line
			}
			b.WriteByte(' ')
			b.WriteString(text)
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// namesFile reports whether a directive would read a file of the node other than its
// resolv.conf. The first argument of hosts is one.
func namesFile(directive string, tokens []caddyfile.Token) bool {
	depth := 0
	for _, token := range tokens {
		switch text := token.Text; {
		case text == "{":
			depth++
		case text == "}":
			depth--
		case depth == 0 && directive == "hosts" && text != directive, text == "tls" && directive == "forward",
			strings.HasPrefix(text, "/") && text != nodeconfig.ResolvConf:
			return true
		}
	}
	return false
}

// quote returns a token as the parser reads it.
func quote(text string) (string, error) {
	if text != "" && !strings.ContainsAny(text, " \t\r\n\"#") {
		return text, nil
	}
	if strings.HasSuffix(text, `\`) || strings.Contains(text, `\"`) {
		return "", fmt.Errorf("unsupported backslash in %q", text)
	}
	return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"`, nil
}

// followCustom signals whenever the user's configuration changes, until ctx ends.
func (d DNS) followCustom(ctx context.Context, changed wakeup.Signal) (corelisters.ConfigMapLister, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(d.API, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, names.CustomDNS).String()
		}))
	configMaps := factory.Core().V1().ConfigMaps()
	_, err := configMaps.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { changed.Send() }, UpdateFunc: func(_, _ any) { changed.Send() }, DeleteFunc: func(any) { changed.Send() },
	})
	if err != nil {
		return nil, fmt.Errorf("follow ConfigMap %s: %w", names.CustomDNS, err)
	}
	factory.Start(ctx.Done())
	return configMaps.Lister(), nil
}

// content returns the user's configuration, empty if there is none.
func content(lister corelisters.ConfigMapLister) (map[string]string, error) {
	object, err := lister.ConfigMaps(namespace).Get(names.CustomDNS)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s: %w", names.CustomDNS, err)
	}
	return object.Data, nil
}

// tell reports the error in the user's configuration, or clears the report.
func (d DNS) tell(failure error) error {
	if failure != nil {
		line := fmt.Sprintf("Cluster DNS does not use the content of ConfigMap %s/%s: %s.", namespace, names.CustomDNS, oneLine(failure))
		return client.WriteFile(d.AlarmFile, []byte(line+"\n"), 0o600)
	}
	if err := os.Remove(d.AlarmFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear the alarm: %w", err)
	}
	return nil
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
