/* SPDX-License-Identifier: MIT */
/* The ECAM window of the guest's bridge: segment 0, buses 0 to 63. */
[0004]                          Signature : "MCFG"
[0004]                       Table Length : 0000003C
[0001]                           Revision : 01
[0001]                           Checksum : 00
[0006]                             Oem ID : "RPROOF"
[0008]                       Oem Table ID : "RPROOFEC"
[0004]                       Oem Revision : 00000001
[0004]                    Asl Compiler ID : "INTL"
[0004]              Asl Compiler Revision : 20200925

[0008]                           Reserved : 0000000000000000

[0008]                       Base Address : 00000000E0000000
[0002]               Segment Group Number : 0000
[0001]                   Start Bus Number : 00
[0001]                     End Bus Number : 3F
[0004]                           Reserved : 00000000
