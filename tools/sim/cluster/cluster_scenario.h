#pragma once
// Scenario `cluster`: whole nodes with their controllers on simulated machines, and clients that
// create, change and delete through any of them: three that are both broker and controller, or
// five, or with a broker that only observes, or with the roles apart; power cuts and kills of one
// or of all, pauses, links that break in one or both directions, an active controller that is cut
// off until another leads, disks that fail, stall and fill up, clean stops, requests to hand over,
// also to whom is down and while a leader has still to become active, all drawn from the seed. Then
// all are healed: every node has the same image, every broker is in service, and a topic can be
// created through each of them; and again, after all have lost their power together. One cluster of
// six has a static quorum, which clients upgrade to kraft.version 1, at the latest when all are
// healed in half of them.
//
// The scenarios `quorum` and `raft` look into what the controllers stand on, `wire` and `node` into
// what the records do.
//
// Invariants: of the images those of watch.h; acknowledged-lost, deleted-returned, created-twice,
// applied-twice, unasked, half-visible, producer-id-twice of promises.h; no-progress, no-agreement,
// stop-hangs; node-failed (a node ends by itself, on disks that do not fail); busy-loop.

#include "tools/sim/scenario.h"

namespace drave::simulation {

RunReport run_cluster_scenario(std::uint64_t seed);

inline constexpr Floor kClusterFloors[] = {
    {"acknowledged", 4000},
    {"unanswered", 600},
    {"undecided", 20},
    {"leaders", 250},
    {"fenced", 400},
    {"snapshots", 700},
    {"images_compared", 15'000},
    {"images_reloaded", 300},
    {"images_checked", 1500},
    {"topics_deleted", 800},
    {"acls_deleted", 200},
    {"partitions_created", 200},
    {"configs_set", 400},
    {"producer_ids", 1000},
    {"kraft_upgrades", 8},
    {"power_cuts", 300},
    {"power_cuts_of_all", 100},
    {"kills", 150},
    {"kills_of_all", 10},
    {"pauses", 100},
    {"blocked_links", 120},
    {"isolated", 50},
    {"deposed", 70},
    {"clean_stops", 40},
    {"hand_overs", 40},
    {"hand_overs_of_new", 2},
    {"transactions", 150},
    {"transactions_harmed", 9},
    {"transactions_cut_short", 4},
    {"slow_disks", 40},
    {"cuts", 150},
    {"lost_sectors", 800},
    {"torn_writes", 80},
    {"lost_names", 500},
    {"stalls", 80},
    {"wall_jumps", 50},
    {"clusters_of_three", 20},
    {"clusters_of_five", 5},
    {"clusters_with_observer", 5},
    {"clusters_with_roles_apart", 5},
};

inline constexpr Scenario kClusterScenario{
    "cluster", "whole nodes with their controllers, and clients that change the metadata",
    run_cluster_scenario, kClusterFloors, 2000};

}  // namespace drave::simulation
