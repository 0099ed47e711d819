package qemu

// UEFI is a firmware in two flash memories, in place of the machine's BIOS.
type UEFI struct {
	Code      Layer // what is executed; read-only
	Variables Layer // what it keeps, the boot entries among it
	// SMM lets nothing but the firmware in system management mode write to the
	// variables: without that, Secure Boot is worth nothing. Q35 only.
	SMM bool
}

// The nodes of the two flash memories.
const (
	codeNode      = "uefi-code"
	variablesNode = "uefi-vars"
)

// flash puts a UEFI firmware into the machine, as an addition to -machine.
func (c Config) flash() string {
	if c.UEFI == nil {
		return ""
	}
	machine := ",pflash0=" + codeNode + ",pflash1=" + variablesNode
	if c.UEFI.SMM {
		machine += ",smm=on"
	}
	return machine
}

// firmware are the flash memories' block nodes. A firmware that keeps its variables by
// SMM must not let the guest sleep to memory, from which it would wake with them open
// (edk2: OvmfPkg/README, "SMM support").
func (c Config) firmware() []string {
	if c.UEFI == nil {
		return nil
	}
	args := Disk{ID: codeNode, Layers: []Layer{c.UEFI.Code}}.nodes()
	args = append(args, Disk{ID: variablesNode, Layers: []Layer{c.UEFI.Variables}}.nodes()...)
	if c.UEFI.SMM {
		args = append(args,
			"-global", "driver=cfi.pflash01,property=secure,value=on",
			"-global", "ICH9-LPC.disable_s3=1")
	}
	return args
}
