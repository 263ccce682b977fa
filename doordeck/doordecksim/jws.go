package doordecksim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha512" // for ES384, RS512 and their like
	"errors"
	"math/big"
	"strings"
)

// jws is a signed token taken apart, with nothing about it proven yet.
type jws struct {
	header, payload object
	signed          string // the first two segments as they were received
	signature       []byte
}

var (
	errSegments = errors.New("want three segments separated by dots")
	errSegment  = errors.New("a segment is not base64url")
	errParts    = errors.New("header and payload have to be JSON objects")
)

func parseJWS(compact string, strict bool) (*jws, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, errSegments
	}
	var raw [3][]byte
	for i, part := range parts {
		decoded, ok := decodeSegment(part, strict)
		if !ok || len(decoded) == 0 {
			return nil, errSegment
		}
		raw[i] = decoded
	}
	header, errHeader := parseObject(raw[0])
	payload, errPayload := parseObject(raw[1])
	if errHeader != nil || errPayload != nil {
		return nil, errParts
	}
	return &jws{header, payload, parts[0] + "." + parts[1], raw[2]}, nil
}

var errAlgorithm = errors.New("the algorithm does not suit the key")

var errSignature = errors.New("the signature does not match")

// verify checks a signature made with one of the algorithms that suit the key.
func (j *jws) verify(algorithm string, key crypto.PublicKey) error {
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[strings.TrimLeft(algorithm, "ERPS")]
	var digest []byte
	if hash != 0 {
		h := hash.New()
		h.Write([]byte(j.signed))
		digest = h.Sum(nil)
	}
	valid := false
	switch key := key.(type) {
	case ed25519.PublicKey:
		if algorithm != "EdDSA" {
			return errAlgorithm
		}
		valid = ed25519.Verify(key, []byte(j.signed), j.signature)
	case *ecdsa.PublicKey:
		if algorithm != ecAlgorithm(key) {
			return errAlgorithm
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		valid = len(j.signature) == 2*size && ecdsa.Verify(key, digest,
			new(big.Int).SetBytes(j.signature[:size]), new(big.Int).SetBytes(j.signature[size:]))
	case *rsa.PublicKey:
		switch algorithm {
		case "RS256", "RS384", "RS512":
			valid = rsa.VerifyPKCS1v15(key, hash, digest, j.signature) == nil
		case "PS256", "PS384", "PS512":
			valid = rsa.VerifyPSS(key, hash, digest, j.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		default:
			return errAlgorithm
		}
	}
	if !valid {
		return errSignature
	}
	return nil
}

// ecAlgorithm is the one algorithm of a curve.
func ecAlgorithm(key *ecdsa.PublicKey) string {
	return map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[key.Curve.Params().BitSize]
}
