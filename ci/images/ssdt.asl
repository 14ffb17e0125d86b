/* SPDX-License-Identifier: MIT */
/* A PCI Express host bridge for a PVH guest, whose ACPI tables have none. */
DefinitionBlock ("ssdt.aml", "SSDT", 2, "RPROOF", "RPROOFHB", 1)
{
    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_SEG, 0)
            Name (_BBN, 0)
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0, 0x3F, 0, 0x40)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0xE4000000, 0xE7FFFFFF, 0, 0x04000000)
            })
            /* All that the guest asks for is its own: there is no firmware to share it with. */
            Method (_OSC, 4, NotSerialized)
            {
                Return (Arg3)
            }
        }
        /* Linux uses an ECAM window only if some device reserves it. */
        Device (ECAM)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xE0000000, 0x04000000)
            })
        }
    }
}
