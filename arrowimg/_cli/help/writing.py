"""What the command line says of itself and of the commands that write or copy."""

from __future__ import annotations

OVERVIEW = """\
usage: arrowimg COMMAND ...

Write Arrow tables of images as tar shards with Parquet sidecars.

commands:
  write          encode the images of a source and write its shards
  adopt          give sidecars to tars that others wrote, as they are
  reshard        copy the images of a dataset, or some of them, into new shards
  merge          copy the images of several datasets into one
  inspect        show what a folder of shards holds
  view           make one HTML page that shows a dataset, what is wrong with it first
  verify         compare every shard with its sidecar
  index          write what other tools want beside the shards
  gc             list, or delete, what writers that died left behind
  demo           write shards of real photographs, to try things on

options:
  -h, --help     show this help and exit
  -V, --version  show the version and exit

examples:
  arrowimg write photographs/ out/
  arrowimg write images.parquet out/ --images-per-tar 5000 --members txt=caption
  arrowimg inspect out/
  arrowimg view out/ --open
  arrowimg verify out/ --decode

Run 'arrowimg COMMAND --help' for the options of one command.
"""

WRITE = """\
usage: arrowimg write SOURCE... OUT [options]

Write the images of every SOURCE, one after the other, to OUT: tars of at most so many
images, and beside each a Parquet file with one row per image. The manifest comes last.

arguments:
  SOURCE                 folder of images or of Parquet and Arrow files, one such file,
                         a pattern of them, or a URL; an image file
  OUT                    folder or URL to write to

shards:
  --images-per-tar N     images in every tar but the last [1000]
  --max-bytes-per-tar N  most bytes in one tar [no limit]
  --checksum NAME        how files and images are hashed: xxh3_128, or sha256, which
                         Croissant asks for [xxh3_128]
  --members EXT=COLUMNS  columns beside the picture in the tar, for example txt=caption
                         or json=caption,score; may be given several times
  --keep-image-data      keep the stored pictures in the Parquet files too
  --if-exists POLICY     what to do with a shard that is there: verify, skip,
                         overwrite, error [verify]

columns:
  --metadata FILE        CSV, JSON lines, Parquet or Arrow file joined to the images by
                         image_id; a folder: its metadata.csv, .jsonl or .parquet
  --on COLUMN            what it is joined on, for example file_name; LEFT=RIGHT where
                         images and metadata call it otherwise [image_id]
  --captions SUFFIX      text files beside the images, for example txt: column caption
  --labels folder        the folder of each image: column label
  --rename OLD=NEW       another name for a column; may be given several times
  --drop COLUMNS         columns to leave out, for example draft,notes; may be given
                         several times
  --reserved-prefix P    put before names that the Parquet files use themselves

splits:
  --split FRACTIONS      several datasets, in folders of OUT, for example
                         train=0.9,val=0.1; by a hash of the id
  --split-by COLUMN      by a hash of this column: rows of one value stay together

images:
  --image-column NAME    column of images [image_data]
  --image EXT=COLUMN     a further picture of each image, for example mask.png=mask;
                         may be given several times
  --keep FORMATS         files that are copied as they are instead of becoming JPEG:
                         some of png,webp,tiff,bmp,gif
  --on-error POLICY      what to do with a bad image: raise, quarantine [raise]
  --keep-quarantined     with --on-error quarantine: keep the bytes of bad images in
                         quarantine-*.tar
  --max-error-fraction F with --on-error quarantine: stop when more than this fraction
                         of the images is bad [1]
  --quality Q            JPEG quality, 1 to 100 [92]
  --subsampling S        colour kept: 4:4:4, 4:2:2 or 4:2:0 [4:2:0]
  --reencode             encode JPEG files again instead of copying them
  --threads N            threads that encode [one per core, 8 at most]
  --workers N            processes that encode and write [by cores and source]

output:
  --storage-option K=V   what an object store is told, for example
                         region=eu-central-1; may be given several times
  --json                 print the file group as one JSON document
  -q, --quiet            no progress and no closing line on stderr
  -h, --help             show this help and exit

exit status:
  0    committed
  1    the source or the storage failed; there is no manifest
  2    wrong usage
  130  interrupted
"""

RESHARD = """\
usage: arrowimg reshard OUT NEW [options]

Copy the images of OUT, or those that are wanted, into new shards in NEW. Nothing is
decoded; each image is compared with its checksum. The manifest comes last.

arguments:
  OUT                    folder of shards; it is not changed
  NEW                    folder or URL to write to

options:
  --tars PLACE           where the tars are that were adopted, unless with OUT
  --where SQL            which rows, for example "score > 0.9 and error is null" [all]
  --images-per-tar N     images in every tar but the last [1000]
  --max-bytes-per-tar N  most bytes in one tar [as in OUT]
  --checksum NAME        how files and images are hashed: xxh3_128, sha256 [as in OUT]
  --metadata FILE        CSV, JSON lines, Parquet or Arrow file of new columns, joined
                         by image_id; --where may name them
  --on COLUMN            what it is joined on; LEFT=RIGHT where OUT and FILE call it
                         otherwise [image_id]
  --split FRACTIONS      several datasets, in folders of NEW, for example
                         train=0.9,val=0.1; by a hash of the id
  --split-by COLUMN      by a hash of this column: rows of one value stay together
  --shuffle-seed N       in a random order, the same for the same N [their order]
  --workers N            processes that copy [by cores and source]
  --if-exists POLICY     what to do with a shard that is there: verify, skip,
                         overwrite, error [verify]
  --storage-option K=V   what an object store is told, for example
                         region=eu-central-1; may be given several times
  --json                 print the file group as one JSON document
  -q, --quiet            no progress and no closing line on stderr
  -h, --help             show this help and exit

exit status:
  0    committed
  1    OUT is damaged or no dataset, or the storage failed; there is no manifest
  2    wrong usage
  130  interrupted
"""

MERGE = """\
usage: arrowimg merge SOURCE... NEW [options]

Copy the images of every SOURCE, one after the other, into one dataset in NEW. Nothing
is decoded; each image is compared with its checksum. The manifest comes last.

arguments:
  SOURCE                 folder of shards; it is not changed
  NEW                    folder or URL to write to

options:
  --images-per-tar N     images in every tar but the last [1000]
  --max-bytes-per-tar N  most bytes in one tar [as in the first SOURCE]
  --checksum NAME        how files and images are hashed: xxh3_128, sha256
                         [as in the first SOURCE]
  --tars SOURCE=PLACE    where the tars are that were adopted, unless with SOURCE; for
                         each such SOURCE
  --workers N            processes that copy [by cores and source]
  --if-exists POLICY     what to do with a shard that is there: verify, skip,
                         overwrite, error [verify]
  --storage-option K=V   what an object store is told, for example
                         region=eu-central-1; may be given several times
  --json                 print the file group as one JSON document
  -q, --quiet            no progress and no closing line on stderr
  -h, --help             show this help and exit

exit status:
  0    committed
  1    the sources do not go together, one is damaged, or the storage failed; there is
       no manifest
  2    wrong usage
  130  interrupted
"""

DEMO = """\
usage: arrowimg demo OUT [options]

Cut varied pictures out of the photographs that scikit-image and scikit-learn carry,
give them ids, captions, scores, embeddings and timestamps, and write them to OUT.

arguments:
  OUT                    folder or URL to write to

options:
  --num-images N         pictures to write [3000]
  --images-per-tar N     images in every tar but the last [1000]
  --storage-option K=V   what an object store is told, for example
                         region=eu-central-1; may be given several times
  --json                 print the file group as one JSON document
  -q, --quiet            no progress and no closing line on stderr
  -h, --help             show this help and exit

exit status:
  0    committed
  1    a package of photographs is missing, or the storage failed
  2    wrong usage
  130  interrupted
"""
