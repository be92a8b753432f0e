//! The black-box tests: they run the built programs, and the standard tools that must be able to
//! read what is stored.
#![allow(clippy::unwrap_used, clippy::expect_used)]

// A tree with everything that is hard, comparing trees, throwaway keys, running programs.
mod util;

// What was backed up comes back exactly, by tar, gzip and gpg alone, and by the script in the band.
mod recovery;

// What other tars than GNU tar bring back, and what each of them cannot.
mod other_tars;

// Input that is cut off, output that goes nowhere, writers that meet.
mod cuts;

// Object streams that lie.
mod hostile;

// Bands that somebody forged: only what the index lists leaves dura-restore.
mod hostile_bands;

// Blocks made wrong by chance, into four tars.
mod differential;

// The same through recover.sh: what the index lists, or it is told.
mod hostile_recover;

// Chains through recover.sh, which stays inside of its directory whatever it reads.
mod hostile_scripts;

// Names, members and fields through recover.sh that no honest archive holds.
mod hostile_siblings;

// Readers that take only what a key has signed.
mod signed;

// dura-restore never brings less than recover.sh.
mod salvage;

// Keys that open a run: how often they are asked, copies, damage, foreign messages, the hand.
mod run_keys;
// RECOVER.txt as it is typed.
mod page;

// Damage in a block costs no more than the gzip member, or zstd frame, it lies in.
mod damage;

// Archives that are damaged, mixed up, or made to do harm.
mod bad_archives;

// recover.sh over chains, by root and by an ordinary user, with each tar.
mod chains;

// Files that change, vanish or turn into something else under pack's hands.
mod pack_files;

// What the man pages and README.md tell people to type runs, and brings back what it says.
mod examples;

// What a mounted archive shows.
mod mount;

// The man pages say what the programs do: options, exit statuses, environment, checksums of the
// notes.
mod man;

// The house rules: rings, purity, one place for durable writes, short files with a purpose, paths
// in the docs.
mod tidy;

// Plain English in pages, help and messages.
mod words;

// One place for several hosts, and several writers of one source.
mod writers;

// Help, version, mistakes in the arguments, events.
mod cli;

// Damage of every kind in every kind of object: found, and repaired.
mod verify;

// The same damage where it is not mended: what is not in the damaged object comes back all the
// same.
mod unmended;

// Damage of any object of a chain: dura-restore never gives less than recover.sh.
mod never_fewer;

// What dura-verify looks at besides checksums, and how much can be lost.
mod verify_modes;

// What is lost of groups, in every way and by chance: given back by both tools, or told.
mod losses;

// Archives of earlier builds.
mod fixtures;

// Buckets and WebDAV servers.
mod clouds;
// Archives over SSH.
mod ssh;

// Each request of a backup, and of a reader, goes wrong in each way.
mod faults;

// Disks that are full or fail, at each object.
mod full_disks;

// Uploads that are cut short, by their server, by a signal, or in the middle of a spool.
mod uploads;

// The recipes of docs/stores.md, as they stand there.
mod recipes;

// An archive in a cloud that rclone serves for the run.
mod rclone;

// How many requests a run makes, and how many of them one after the other.
mod trips;

// What a run records and continues: changes behind the resume point, masks, a missing source.
mod continued;
// Bands on bands, interruptions, restore.
mod layers;

// Files that were moved or copied.
mod references;

// What a program writes, as a file of a band.
mod stdin;

// Of large files what has changed is stored.
mod deltas;

// Bands that are taken from an archive.
mod taken;
// Runs that are cut every night, until their band is complete all the same.
mod nights;

// Parity and signatures: what seal adds.
mod protect;
mod prune;

// Random operations on a tree: every version of it comes back.
mod random;

// Listings that lag.
mod lagging;
mod large;

// Servers that confirm what they do not keep.
mod lying;
// Parts of a version into a tree that is there, with each tar.
mod partial;
// Runs that are cut off anywhere, and two that go on with the same band.
mod install;
mod interrupted;
mod job;
// Runs that are killed at any time.
mod kills;

// The script in each band that rebuilds objects from parity.
mod rsrepair;

// Push to several archives, from a spool, and when it is asked to end.
mod push;

// Several archives in one run, one of them behind.
mod behind;

// Object streams that lose or change something on their way.
mod damaged_streams;

// What a new user types, and what the programs answer.
mod first_day;

// README.md and the page, typed on a fresh root by a new user.
mod fresh_root;

// The Debian package on a fresh root.
mod packaged;

// Which bands may go.
mod expire;

// Months of daily runs, and what stays of them.
mod years;

// Other programs that leave lines out of a listing.
mod filter;

// Options of seal that were forgotten.
mod forgotten;

// A host's copies of indexes.
mod caches;
mod changes;

// What programs make again by themselves is left out.
mod apps;

// Events for other programs.
mod events;

// What a backup builds on.
mod attribution;

// The same with signatures.
mod attribution_signed;

// The tests that docs/security.md names.
mod security_page;

// What is no file in the place of objects.
mod odd_objects;

// Control characters in all that a store holds.
mod escapes;

// All that somebody may put into the store, in each situation of the backup.
mod attribution_matrix;

// Plain objects where sealed ones belong.
mod plain;

// Every parser over its corpus of odd inputs.
mod corpus;

// Patterns in gitignore syntax, against git.
mod patterns;

// Names as people write them, in all programs that take some.
mod names;
// Extended attributes that cannot be read, and those that are none.
mod attributes;

// Standard streams that are closed, full, or not ready.
mod streams;

// Files that are not as long as stat says, or nearly all holes; links that are none.
mod sizes;

// A backup and a restore in little memory.
mod small_memory;
// Hidden recipients, several secret keys, stubs of cards, subkeys old and new: all readers read.
mod gpg_keys;

// What a gpg.conf says changes nothing that is sealed, or gpg is not used.
mod gpg_options;

// gpg without a desktop: homes that are missing, closed or broken, passphrases, damaged messages,
// messages that grow.
mod gpg_homes;

// What cut runs, removals, other programs and stores leave.
mod verify_cuts;

// Signatures that are demanded, and the newest band.
mod verify_signed;

// What somebody hid in a block.
mod hidden;

// Objects that are too large, or expand to that.
mod bounds;
// The walk where entries go wrong.
mod walk;

// What scan lists and leaves out.
mod scan;

// Directories that fail in part, can do less than others, or are none.
mod bad_stores;

// The scripts that set up, back up and restore in one go.
mod scripts;

// Archives on FAT, exFAT and what rclone mounts.
mod targets;
