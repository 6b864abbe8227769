"""Read images: the cat data, folders of images, downloads.

May import `data` and `config`.
Public names: `cats.Cats`, `folder.Folder`.
"""
