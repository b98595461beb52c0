package dashboard

import (
	"bytes"
	"slices"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
)

// user selects the user that the dashboard acts as: that of a context, another one by
// impersonation, or by default that of the current context.
type user struct {
	context string
	as      string
	groups  []string
}

func (u user) check() error {
	switch {
	case u.context != "" && u.as != "":
		return cli.Invalid("choose one of them", "--context cannot be combined with --as")
	case len(u.groups) > 0 && u.as == "":
		return cli.Invalid("for example: --as jane --as-group dev", "--as-group requires --as")
	case slices.Contains(u.groups, ""):
		return cli.Invalid("for example: --as jane --as-group dev", "--as-group: the name must not be empty")
	}
	return nil
}

// kubeconfig returns a kubeconfig with the API server of a cluster's administrator and
// the user's credentials. It refers to no files.
func (u user) kubeconfig(name string, admin []byte) ([]byte, error) {
	own, err := clientcmd.Load(admin)
	if err != nil {
		return nil, err
	}
	current := own.Contexts[own.CurrentContext]
	who := own.AuthInfos[current.AuthInfo]
	if u.as != "" {
		who.Impersonate, who.ImpersonateGroups = u.as, u.groups
	} else {
		found, err := u.ofContext(name, own.Clusters[current.Cluster].CertificateAuthorityData)
		if err != nil {
			return nil, err
		}
		if found != nil {
			who = found
		}
	}
	own.AuthInfos[current.AuthInfo] = who
	return clientcmd.Write(*own)
}

// ofContext returns the user of the selected context in the kubeconfig; nil if no context
// was selected and the current one belongs to another cluster. A cluster is identified by
// its certificate authority.
func (u user) ofContext(name string, authority []byte) (*clientcmdapi.AuthInfo, error) {
	file, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		if u.context == "" {
			return nil, nil
		}
		return nil, cli.Invalid("", "read your kubeconfig: %s", err)
	}
	if u.context != "" {
		file.CurrentContext = u.context
	}
	context := file.Contexts[file.CurrentContext]
	if context == nil || file.Clusters[context.Cluster] == nil || file.AuthInfos[context.AuthInfo] == nil {
		if u.context == "" {
			return nil, nil
		}
		return nil, cli.Invalid("see `kubectl config get-contexts`", "--context: no context named %q with a cluster and a user", u.context)
	}
	err = clientcmdapi.MinifyConfig(file)
	if err == nil {
		err = clientcmdapi.FlattenConfig(file)
	}
	if err != nil {
		if u.context == "" {
			return nil, nil
		}
		return nil, cli.Invalid("", "--context %s: %s", u.context, err)
	}
	if !bytes.Equal(bytes.TrimSpace(file.Clusters[context.Cluster].CertificateAuthorityData), bytes.TrimSpace(authority)) {
		if u.context == "" {
			return nil, nil
		}
		return nil, cli.Invalid("choose one of its contexts, or leave out --context", "the context %q does not belong to cluster %q", u.context, name)
	}
	return file.AuthInfos[context.AuthInfo], nil
}
