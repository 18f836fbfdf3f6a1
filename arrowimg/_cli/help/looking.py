"""What the command line says of the commands that look at what is there."""

from __future__ import annotations

INSPECT = """\
usage: arrowimg inspect OUT [options]

Show what a folder of shards holds: shards, images, bytes, bad rows, columns and how
they are spread, first rows.

arguments:
  OUT                    folder of shards, or its URL

options:
  --tars PLACE           where the tars are that were adopted, unless with OUT
  --rows N               rows to show [5]
  --plot                 show how columns are spread, in small histograms
                         [on a terminal]
  --no-plot              leave that out
  --storage-option K=V   what an object store is told, for example
                         region=eu-central-1; may be given several times
  --json                 print one JSON document
  -h, --help             show this help and exit

exit status:
  0    shown
  1    OUT holds no shards, or one cannot be read
  2    wrong usage
  130  interrupted
"""

VIEW = """\
usage: arrowimg view OUT [options]

Make one HTML page that shows the dataset in OUT: what is wrong, how its columns are
spread, and pictures. The page needs nothing else, and loads nothing. Of the tars, only
the pictures that are shown are read.

arguments:
  OUT             folder of shards, or its URL

options:
  --tars PLACE    where the tars are that were adopted, unless with OUT
  -o, --output F  the page to write, in place of one that is there [NAME-view.html]
  --where SQL     which rows, for example "score < 0.1 and caption is null" [all]
  --sort COLUMN   show the first rows in this order; --sort=-COLUMN: largest first
                  [drawn by lot]
  --sample N      pictures in the grid [200]
  --seed N        of the lot [0]
  --thumbnail PX  pixels of a picture's longer side [160]
  --max-bytes N   most bytes of the page [8000000]
  --against B     another folder of shards, shown side by side
  --storage-option K=V
                  what an object store is told, for example region=eu-central-1; may
                  be given several times
  --open          open the page in a browser
  -q, --quiet     no closing line on stderr
  -h, --help      show this help and exit

exit status:
  0    written
  1    OUT holds no shards, one cannot be read, or the page cannot be written
  2    wrong usage
  130  interrupted
"""

VERIFY = """\
usage: arrowimg verify OUT [options]

Compare every shard in OUT with its sidecar, and the sidecars with the manifest.

arguments:
  OUT                    folder of shards, or its URL

options:
  --tars PLACE           where the tars are that were adopted, unless with OUT
  --quick                compare names, sizes and counts only; read no tar
  --decode               decode every picture too
  --storage-option K=V   what an object store is told, for example
                         region=eu-central-1; may be given several times
  --json                 print the report as one JSON document
  -q, --quiet            no progress and no closing line on stderr
  -h, --help             show this help and exit

exit status:
  0    everything is as it was written
  1    something is damaged, or OUT holds no shards
  2    wrong usage
  130  interrupted
"""

INDEX = """\
usage: arrowimg index OUT [options]

Write indexes beside the shards in OUT, for tools that train on them or look at them.
No tar is read.

arguments:
  OUT                    folder of shards, or its URL

options:
  --tars PLACE           where the tars are that were adopted, unless with OUT
  --for FORMATS          which, separated by commas [webdataset]
                   webdataset  shards, counts and brace ranges: webdataset.json
                   wids        random access: wids.json
                   dali        an index per tar: <stem>.idx
                   energon     an index per tar, and Energon's folder .nv-meta
                   hf          README.md, so that load_dataset(OUT) gives pictures
                   croissant   croissant.json; needs checksum="sha256" when writing
                   fsspec      where each member is: fsspec.json
                   sizes       samples per tar, for open_clip: sizes.json
  --storage-option K=V   what an object store is told, for example
                         region=eu-central-1; may be given several times
  --json                 print the paths as one JSON document
  -h, --help             show this help and exit

exit status:
  0    written
  1    OUT holds no shards, or a format cannot be made of them
  2    wrong usage
  130  interrupted
"""

GC = """\
usage: arrowimg gc OUT [options]

List files that no shard needs: temporary files, spools, and tars that no sidecar names.

arguments:
  OUT                    folder of shards, or its URL

options:
  --delete               delete them
  --older-than DAYS      leave younger files alone [7]
  --storage-option K=V   what an object store is told, for example
                         region=eu-central-1; may be given several times
  --json                 print one JSON document
  -h, --help             show this help and exit

exit status:
  0    listed, or deleted
  1    OUT is no folder, or the storage failed
  2    wrong usage
  130  interrupted
"""
