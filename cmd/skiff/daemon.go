package main

import "github.com/spf13/cobra"

func (a *app) daemon() *cobra.Command { return &cobra.Command{Use: "daemon", Hidden: true} }
