package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"gatehouse/internal/egress"
	"gatehouse/web"
)

func (c *Config) checkEgress() error {
	if (c.EgressCertFile == "") != (c.EgressKeyFile == "") {
		return errors.New("GATEHOUSE_EGRESS_CERT_FILE and GATEHOUSE_EGRESS_KEY_FILE: want both or neither")
	}
	if err := egress.CheckAllow(c.EgressAllow); err != nil {
		return fault("EGRESS_ALLOW", "%s", err)
	}
	return nil
}

// openEgress makes the client for subscribers' URLs. The certificate files are read again when they change.
func (a *App) openEgress(context.Context) (err error) {
	c := egress.Config{Allow: a.config.EgressAllow, CAFile: a.config.EgressCAFile}
	if a.config.EgressCertFile != "" {
		certificate, err := web.LoadCertificate(a.config.EgressCertFile, a.config.EgressKeyFile, a.log)
		if err != nil {
			return fmt.Errorf("GATEHOUSE_EGRESS_CERT_FILE and GATEHOUSE_EGRESS_KEY_FILE: %w", err)
		}
		c.Certificate = certificate.Client
	}
	if a.egress, err = egress.New(c); err != nil {
		return err
	}
	a.closeLater(func() error { a.egress.Close(); return nil })
	return nil
}

// checkEgressFiles looks at what endpoints are reached with.
func (c *doctorCommand) checkEgressFiles(context.Context) finding {
	if c.EgressCAFile != "" {
		if _, err := egress.Authorities(c.EgressCAFile); err != nil {
			return fail("check GATEHOUSE_EGRESS_CA_FILE", "%s", oneLine(err))
		}
	}
	reach := "public addresses over https"
	if len(c.EgressAllow) > 0 {
		reach += ", and " + strings.Trim(fmt.Sprint(c.EgressAllow), "[]")
	}
	if c.EgressCertFile == "" {
		return ok("%s", reach)
	}
	pair, err := tls.LoadX509KeyPair(c.EgressCertFile, c.EgressKeyFile)
	if err != nil {
		return fail("check GATEHOUSE_EGRESS_CERT_FILE and GATEHOUSE_EGRESS_KEY_FILE", "%s", oneLine(err))
	}
	f := validity(pair.Leaf.NotBefore, pair.Leaf.NotAfter)
	f.Detail = reach + "; the client certificate: " + f.Detail
	return f
}
