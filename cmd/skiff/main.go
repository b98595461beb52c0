package main

import (
	_ "charm.land/bubbletea/v2"
	_ "charm.land/lipgloss/v2"
	_ "github.com/containers/gvisor-tap-vsock/pkg/virtualnetwork"
	_ "github.com/gofrs/flock"
	_ "github.com/lima-vm/lima/v2/pkg/driver/qemu"
	_ "github.com/lima-vm/lima/v2/pkg/driver/vz"
	_ "github.com/lima-vm/lima/v2/pkg/instance"
	_ "github.com/lima-vm/lima/v2/pkg/networks/usernet"
	_ "github.com/lima-vm/lima/v2/pkg/store"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/spf13/cobra"
	_ "github.com/spf13/viper"
	_ "golang.org/x/term"
	_ "k8s.io/client-go/kubernetes"
	_ "k8s.io/client-go/tools/clientcmd"
	_ "sigs.k8s.io/yaml"
)

func main() {}
